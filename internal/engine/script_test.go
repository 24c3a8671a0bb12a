package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onehop-go/onehop/internal/health"
	"github.com/onehop-go/onehop/policy"
	"github.com/onehop-go/onehop/resolver"
)

// step is what the service does to one attempt. It takes virtual time.
type step struct {
	Result
	take time.Duration
	do   func() // beside it; nil: nothing
}

// script is a call of a protocol that is all there but for the network: it honours its times and its context.
type script struct {
	Call
	steps []step // of the attempts in order; the last repeats

	mu        sync.Mutex
	tries     []*try
	discarded int
}

func (p *script) NewAttempt() Attempt {
	p.mu.Lock()
	defer p.mu.Unlock()
	a := &try{script: p, step: p.steps[min(len(p.tries), len(p.steps)-1)]}
	p.tries = append(p.tries, a)
	return a
}

type try struct {
	State
	script *script
	step   step
	at     time.Duration // since the call began
	sent   bool
}

func (a *try) Discard() {
	a.script.mu.Lock()
	defer a.script.mu.Unlock()
	a.script.discarded++
}

func (a *try) Send(ctx context.Context) Result {
	a.at = health.Now() - a.script.Start()
	if a.step.NoPick {
		time.Sleep(a.step.take)
		return a.step.Result
	}
	if !a.Pick(nil) {
		return Result{}
	}
	ctx = a.Begun(ctx)
	a.sent = true
	if a.step.do != nil {
		a.step.do()
	}
	return a.wait(ctx)
}

// wait ends with the first of: the answer, a time, the caller, Close.
func (a *try) wait(ctx context.Context) Result {
	answer := time.NewTimer(a.step.take)
	defer answer.Stop()
	times, ended := a.times()
	defer times.Stop()
	select {
	case <-answer.C:
		return a.step.Result
	default:
	}
	select {
	case <-answer.C:
		return a.step.Result
	case <-times.C:
		return Result{Ended: ended, Err: map[Ended]error{ByTimer: ErrAttemptTimeout, ByDeadline: ErrTimeout}[ended]}
	case <-a.Call().Upstream().Closed():
		return Result{Ended: ByLoop, Err: context.Canceled}
	case <-ctx.Done():
		return endedBy(ctx)
	}
}

func endedBy(ctx context.Context) Result {
	r := Result{Ended: ByCaller, Err: ctx.Err()}
	switch {
	case errors.Is(context.Cause(ctx), ErrLost):
		r.Ended = ByLoop
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		r.Ended = ByDeadline
	}
	return r
}

func (a *try) times() (*time.Timer, Ended) {
	left, by := time.Hour, ByTimer
	if a.Timeout > 0 {
		left = a.Timeout
	}
	if a.Deadline() > 0 && a.Deadline()-health.Now() < left {
		left, by = a.Deadline()-health.Now(), ByDeadline
	}
	return time.NewTimer(left), by
}

// wire counts the attempts that a server may have seen.
func (p *script) wire() (n int) {
	for _, a := range p.tries {
		if a.sent && !a.step.Unsent {
			n++
		}
	}
	return n
}

// The answers of a service.
var (
	good        = step{Result: Result{Outcome: health.OK, Answer: true, Status: 200}, take: 10 * time.Millisecond}
	unavailable = step{Result: Result{Outcome: health.Overloaded, Answer: true, Status: 503, Kind: Unavailable}, take: 10 * time.Millisecond}
	serverError = step{Result: Result{Outcome: health.Failed, Answer: true, Status: 500, Kind: ServerError}, take: 10 * time.Millisecond}
	reset       = step{Result: Result{Outcome: health.Failed, Kind: Reset, Err: errReset}, take: 10 * time.Millisecond}
	refused     = step{Result: Result{Outcome: health.Refused, Unsent: true, Kind: Unavailable, Err: errRefused}}
	unconnected = step{Result: Result{Outcome: health.Failed, Unsent: true, Kind: Unavailable, Err: errRefused}}
	unread      = step{Result: Result{Outcome: health.Failed, Unprocessed: true, Kind: Unavailable | Reset, Err: errReset}, take: 10 * time.Millisecond}
	hangs       = step{take: 24 * time.Hour}

	errReset   = errors.New("connection reset")
	errRefused = errors.New("connection refused")
)

// with changes a step.
func (s step) with(f func(*step)) step { f(&s); return s }

// service is an upstream under a test's hand, in a bubble of virtual time.
type service struct {
	*Upstream
	t     *testing.T
	close context.CancelFunc
	work  sync.WaitGroup

	mu      sync.Mutex
	decided []string
}

func instances(n int) []resolver.Endpoint {
	list := make([]resolver.Endpoint, n)
	for i := range list {
		list[i] = resolver.Endpoint{Addr: fmt.Sprintf("e%d:80", i)}
	}
	return list
}

// inService runs f with an upstream of n endpoints whose policy change alters; nil leaves it the default.
func inService(t *testing.T, n int, change func(*policy.Policy), f func(u *service)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		u := newService(t)
		p := policy.Default()
		if change != nil {
			change(&p)
		}
		u.Configure(p)
		u.Update("none are listed", health.Tier{Members: instances(n)})
		f(u)
		u.close()
		u.work.Wait()
		for _, e := range u.Set().View().All {
			if n := e.InFlight(); n != 0 {
				t.Errorf("%d attempts at %s never ended", n, e.Addr())
			}
		}
	})
}

// newService is an upstream that knows nothing yet.
func newService(t *testing.T) *service {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	u := &service{t: t, close: cancel}
	u.Upstream = NewUpstream(resolver.Target{Service: "s"}, Env{
		Context: ctx,
		Go: func(f func(context.Context)) bool {
			if ctx.Err() != nil {
				return false
			}
			u.work.Go(func() { f(ctx) })
			return true
		},
		Hooks: &Hooks{Decided: func(_ context.Context, d Decision) {
			u.mu.Lock()
			defer u.mu.Unlock()
			u.decided = append(u.decided, fmt.Sprint(d.Action, " ", d.Reason, " ", d.Applied))
		}},
	})
	return u
}

// get is an idempotent call that steps answer.
func get(steps ...step) *script {
	return &script{Call: Call{Protocol: "http", Method: "GET", Path: "/", Safe: true, Replayable: true}, steps: steps}
}

// result is what a call came to.
type result struct {
	reason Reason // "": an answer
	status int    // of the answer
	err    error
	took   time.Duration
}

// call runs p to its end, its body included.
func (u *service) call(ctx context.Context, p *script) result {
	start := health.Now()
	err := p.Run(ctx, u.Upstream, p)
	r := result{err: err, took: health.Now() - start}
	if err == nil {
		w := p.Winner().(*try) //nolint:forcetypeassert // a script makes no other
		r.status = w.step.Status
		w.End(nil, false)
		return r
	}
	var f *Failure
	if !errors.As(err, &f) {
		u.t.Fatalf("Run returned a %T: %v", err, err)
	}
	r.reason = f.Reason
	return r
}

// fill lets the budget earn tokens by oks.
func (u *service) fill(oks int) {
	for range oks {
		u.budget.deposit(health.Now(), u.Policy().Budget.Ratio, u.Policy().Budget.Min)
	}
}

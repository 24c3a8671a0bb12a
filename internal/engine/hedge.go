package engine

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/onehop-go/onehop/internal/health"
)

const (
	hedgeSamples  = 100  // below that a percentile is a guess
	keptSamples   = 8192 // then all fade to the half: the percentile follows the last few thousand
	refresh       = 10 * time.Millisecond
	leastDelay    = time.Millisecond // a hedge at once would be a second call, not a hedge
	hedgeCap      = 3 * milli        // a long calm must not save up a storm: at 10 a busy service tips over
	calmRetries   = 0.5              // of the retry budget must be left: no extra load on a service that fails
	hedgeCapacity = 2                // attempts in a race: the first and one hedge
)

// ErrLost is the cause by which the attempts end that another one beat.
var ErrLost = errors.New("another attempt was faster")

// hedges is an upstream's bucket of hedges, in thousandths. It is fed by calls alone. The zero value is empty.
type hedges struct{ tokens atomic.Int64 }

func (h *hedges) deposit(share float64) {
	if h.tokens.Load() < hedgeCap {
		h.tokens.Add(int64(share * milli))
	}
}

func (h *hedges) withdraw() bool {
	for {
		t := h.tokens.Load()
		if t < milli {
			return false
		}
		if h.tokens.CompareAndSwap(t, t-milli) {
			return true
		}
	}
}

// Hedges says whether an attempt of the call may get another beside it, as far as that is known from the start.
func (c *Call) Hedges() bool {
	return c.rule.Hedge > 0 && !c.Stream && c.Idempotent() && c.Replayable && !c.noRetry()
}

// hedging is how long the call's attempts have before a hedge is made; false: none will be.
func (c *Call) hedging() (time.Duration, bool) {
	if !c.Hedges() || int(c.attempts)+1 >= c.rule.Retry.MaxAttempts {
		return 0, false
	}
	if c.tries == 1 { // a call feeds it once, however often it is tried
		c.upstream.hedges.deposit(c.rule.Hedge)
	}
	delay := time.Duration(c.rule.delay.Load())
	return max(leastDelay, delay), delay != 0
}

// observe feeds the route's percentile, where it hedges, and reads it: at once when there are samples enough, and then once
// in a refresh.
func (r *rule) observe(now, latency time.Duration) {
	if r.Hedge <= 0 {
		return
	}
	r.latencies.Sample(latency)
	read := r.read.Load()
	if int64(now) < read {
		return
	}
	n := r.latencies.Len()
	if n < hedgeSamples || !r.read.CompareAndSwap(read, int64(now+refresh)) {
		return
	}
	r.delay.Store(int64(r.latencies.Percentile(1 - r.Hedge)))
	if n >= keptSamples {
		r.latencies.Fade()
	}
}

// shot is an attempt after its first end.
type shot struct {
	a        Attempt
	r        Result
	timedOut bool
	now      time.Duration // the instant of its first end
}

// good says that the caller should have this answer. One that speaks well of its endpoint may still be named by the
// route's `when`: gRPC's ABORTED.
func (c *Call) good(s *shot) bool {
	return s.r.Outcome == health.OK && s.r.Answer && !c.rule.when.match(&s.r)
}

// shoot makes one attempt and lets health, latency and budget learn of it.
func (c *Call) shoot(ctx context.Context, a Attempt) shot {
	r, aborted := c.inject(ctx, a.Core())
	if !aborted {
		r = a.Send(ctx)
	}
	now := health.Now()
	return shot{a, r, c.answered(a.Core(), &r, now), now}
}

// race makes the attempt a and, if it has not answered within delay or fails before, a hedge beside it (The Tail at
// Scale, Dean and Barroso 2013). The first good answer wins; whoever is still under way is cancelled and counts against
// nobody. With no good answer the last one stands for the race.
func (c *Call) race(ctx context.Context, p Protocol, a Attempt, delay time.Duration) shot {
	r := &run{call: c, results: make(chan shot, hedgeCapacity)}
	if !r.start(ctx, a) {
		return shot{a: a, r: Result{Err: errInterrupted}}
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			r.hedge(ctx, p, a)
		case s := <-r.results:
			r.forget(s.a)
			if c.good(&s) || !c.repeatable(ctx, &s.r) || len(r.under) == 0 && !r.hedge(ctx, p, a) {
				r.cancel()
				return s
			}
			c.drop(s.a, s.a.Core(), &s.r)
		}
	}
}

// run is a race under way.
type run struct {
	call    *Call
	results chan shot
	under   []Attempt
	hedged  bool
}

// start sends a in the background; false: the upstream is closing.
func (r *run) start(ctx context.Context, a Attempt) bool {
	s := a.Core()
	ctx, s.cancel = context.WithCancelCause(ctx)
	r.under = append(r.under, a)
	return r.call.upstream.env.Go(func(context.Context) {
		shot := r.call.shoot(ctx, a)
		if !s.settled.CompareAndSwap(false, true) { // the race is over
			a.Discard()
			s.End(shot.r.Err, false)
			return
		}
		r.results <- shot
	})
}

// hedge adds the second attempt; false: there is none to be had.
func (r *run) hedge(ctx context.Context, p Protocol, first Attempt) bool {
	c := r.call
	b := &c.plan.policy.Budget
	if r.hedged || c.upstream.budget.left(health.Now(), b.Ratio, b.Min) <= calmRetries || !c.upstream.hedges.withdraw() {
		r.hedged = true
		return false
	}
	r.hedged = true
	c.upstream.decided(ctx, "hedge", "", c.plan.apply)
	if !c.plan.apply {
		return false
	}
	a := p.NewAttempt()
	s := a.Core()
	c.prepare(ctx, s)
	c.attempts++
	s.Hedge = true
	if e := first.Core().Endpoint(); e != nil {
		s.avoid(e)
	}
	return r.start(ctx, a)
}

func (r *run) forget(a Attempt) {
	for i, x := range r.under {
		if x == a {
			r.under = append(r.under[:i], r.under[i+1:]...)
			return
		}
	}
}

// cancel ends whoever is still under way. One that has answered at this very moment delivers, and is discarded here.
func (r *run) cancel() {
	for _, a := range r.under {
		s := a.Core()
		if s.settled.CompareAndSwap(false, true) {
			s.cancel(ErrLost)
			continue
		}
		late := <-r.results
		late.a.Discard()
		late.a.Core().End(ErrLost, false)
	}
}

// repeatable says whether what failed may be made up for by another attempt.
func (c *Call) repeatable(ctx context.Context, r *Result) bool {
	return ctx.Err() == nil && r.Ended != ByDeadline && !r.Stop && !c.multiplies(r) && (r.Unsent || c.rule.when.match(r))
}

package engine

import (
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/onehop-go/onehop/internal/health"
	"github.com/onehop-go/onehop/policy"
)

var (
	errBraked      = errors.New("most answers say overload: calls are limited until they recover")
	errInterrupted = errors.New("the upstream was closed")
)

// longestPause bounds what an endpoint may ask for: Envoy drops longer Retry-After values, too.
const longestPause = 300 * time.Second

// Run makes the call: attempts follow one another until one answers or nothing is left to do. nil: the caller has an
// answer: Winner has it, and its protocol owes that attempt's End. Otherwise a *Failure.
func (c *Call) Run(ctx context.Context, u *Upstream, p Protocol) error {
	ctx, f := c.begin(ctx, u)
	if f == nil {
		f = c.loop(ctx, p)
	}
	if f == nil {
		return nil
	}
	f.Route = c.rule.name
	if c.past != nil {
		f.Attempts = c.past.records
	}
	c.done(f)
	return f
}

func (c *Call) loop(ctx context.Context, p Protocol) *Failure {
	for {
		s := c.attempt(ctx, p)
		if c.good(&s) {
			c.answer(&s)
			return nil
		}
		core := s.a.Core()
		wait, why := c.next(ctx, core, &s.r)
		if why != "" && s.r.Answer {
			c.upstream.decided(ctx, "refuse", why, c.plan.apply)
			c.answer(&s) // a 503 stays a 503
			return nil
		}
		c.drop(s.a, core, &s.r)
		if why == "" && wait > 0 {
			why = c.sleep(ctx, wait)
		}
		if why != "" {
			c.release(health.Now(), &s.r, s.timedOut)
			return c.failed(ctx, why, &s.r)
		}
	}
}

// attempt makes the next attempt, and a hedge beside it where the policy wants one.
func (c *Call) attempt(ctx context.Context, p Protocol) shot {
	a := p.NewAttempt()
	c.prepare(ctx, a.Core())
	if delay, ok := c.hedging(); ok {
		return c.race(ctx, p, a, delay)
	}
	return c.shoot(ctx, a)
}

// answer hands an attempt's answer to the caller; its protocol owes its second end.
func (c *Call) answer(s *shot) {
	c.release(s.now, &s.r, s.timedOut)
	s.a.Core().answer = true
	c.winner = s.a
}

// prepare fills in the loop's part of a new attempt.
func (c *Call) prepare(ctx context.Context, s *State) {
	c.tries++
	s.call, s.Number = c, c.tries
	if c.past != nil {
		tried := c.past.tried // as they are now: a race goes on beside the loop
		s.tried = &tried
	} else if c.prompt && c.Protocol == "http" { // which picks at once: a clock read less
		s.start = c.start
	}
	if c.Stream {
		return
	}
	s.Timeout = c.rule.AttemptTimeout
	if s.Timeout > 0 && c.last() {
		if _, bounded := c.remaining(ctx, health.Now()); bounded {
			s.Timeout = 0 // nothing could follow: it gets all that remains
		}
	}
}

// last says that no attempt could follow this one's timeout.
func (c *Call) last() bool {
	return int(c.attempts)+1 >= c.rule.Retry.MaxAttempts || c.rule.when.kinds&AttemptTimeout == 0 || !c.Retryable()
}

// answered is the first end of an attempt: health, latency and budget learn of it.
func (c *Call) answered(s *State, r *Result, now time.Duration) (timedOut bool) {
	s.err = r.Err
	e := s.Endpoint()
	if e == nil {
		return false
	}
	s.latency = now - s.start
	timedOut = c.judge(s, r)
	set := c.upstream.set
	if r.Pause > 0 {
		e.Pause(now + min(r.Pause, longestPause))
	}
	counted := set.Report(e, health.Report{
		Outcome: r.Outcome, Start: s.start, Now: now, Timeout: timedOut, Raise: r.Ended != ByEndpoint,
		Usual: c.usual(), Late: r.Late, Unsampled: r.Unsampled, Redial: r.Redial,
	})
	if s.probe != nil {
		s.probe(counted)
		s.probe = nil
	}
	s.outcome = counted
	if r.Outcome == health.OK {
		c.upstream.budget.deposit(now, c.plan.policy.Budget.Ratio, c.plan.policy.Budget.Min)
		if !r.Unsampled {
			c.rule.usual.Sample(s.latency.Seconds())
			c.rule.observe(now, s.latency)
		}
	}
	return timedOut
}

// judge gives a result that the endpoint did not end its outcome. The caller's own deadline says something about the
// endpoint only where it was generous.
func (c *Call) judge(s *State, r *Result) (timedOut bool) {
	switch r.Ended {
	case ByTimer:
		r.Outcome, r.Kind = health.Failed, AttemptTimeout
		return true
	case ByDeadline:
		r.Outcome = health.Ignored
		if s.latency >= max(time.Second, 10*c.upstream.set.Service()) {
			r.Outcome = health.Failed
			return true
		}
	case ByCaller, ByLoop: // the caller's wish, or a lost hedge: says nothing
		r.Outcome = health.Ignored
	case ByEndpoint:
		return r.Kind&AttemptTimeout != 0
	}
	return false
}

// next decides what follows an attempt that gave no good answer: "" and the time to wait before another, or why there
// will be none.
func (c *Call) next(ctx context.Context, s *State, r *Result) (wait time.Duration, why Reason) {
	if why := c.over(ctx, r); why != "" {
		return 0, why
	}
	e := s.Endpoint()
	if e == nil {
		return 0, c.unpicked(r)
	}
	p := c.failedOnce()
	p.tried = append(p.tried, e)
	if r.Unsent && c.mayMove(r) {
		c.upstream.decided(ctx, "retry", "", true)
		return 0, ""
	}
	c.attempts++
	if why := c.forbidden(r); why != "" {
		return 0, why
	}
	now := health.Now()
	wait = c.pause()
	if rest := c.rest(now, r); rest > wait {
		if wait = rest; wait > c.rule.Retry.Backoff.Max {
			return 0, ByPolicy
		}
	}
	if left, bounded := c.remaining(ctx, now); bounded && left <= wait+c.usual() {
		return 0, Deadline
	}
	if b := &c.plan.policy.Budget; !c.upstream.budget.withdraw(now, b.Ratio, b.Min) {
		return 0, NoBudget
	}
	c.upstream.decided(ctx, "retry", "", c.plan.apply)
	if !c.plan.apply {
		return 0, ByPolicy
	}
	return wait, ""
}

// A refused dial costs a fraction of a millisecond, one that timed out costs connect_timeout: so many of the one are
// worth one of the other. Among 10 endpoints of which 8 died at once, max_attempts moves alone leave one call in a
// thousand unserved.
const refusedMoves = 3

// mayMove says whether a try that was never sent moves on freely: to an endpoint not yet tried, at most max_attempts times
// where dials time out. A connection that had died before anything was written on it says nothing about its endpoint:
// that one may serve the next try as well, as it would by net/http's own repetition.
func (c *Call) mayMove(r *Result) bool {
	stale := r.Outcome == health.Ignored && r.Kind == Reset
	cost := refusedMoves
	if r.Outcome == health.Refused || stale {
		cost = 1
	}
	if !c.plan.apply || c.past.moved+cost > refusedMoves*c.rule.Retry.MaxAttempts || !stale && !c.upstream.set.View().Untried(c.past.tried) {
		return false
	}
	c.past.moved += cost
	return true
}

// over says why the call has come to its end whatever the attempt said; "": it has not.
func (c *Call) over(ctx context.Context, r *Result) Reason {
	select {
	case <-c.upstream.Closed():
		return Closed
	default:
	}
	if err := ctx.Err(); err != nil {
		return reasonOf(err)
	}
	switch {
	case r.Ended == ByDeadline, c.deadline != 0 && health.Now() >= c.deadline:
		return Deadline
	case r.Ended == ByCaller:
		return Canceled
	}
	return ""
}

// unpicked: an attempt that never got a pick is none. It goes again where its protocol waited for one, and fails where
// there is nothing to wait for.
func (c *Call) unpicked(r *Result) Reason {
	if r.NoPick {
		return ""
	}
	why, err := c.upstream.NoEndpoints()
	if r.Err == nil {
		r.Err = err
	}
	return why
}

// forbidden says why the attempt must not be followed by another on the wire; "": it may.
func (c *Call) forbidden(r *Result) Reason {
	switch {
	case c.multiplies(r):
		return ByPolicy
	case r.Stop, !r.Unsent && !c.rule.when.match(r), c.noRetry(), c.plan.policy.Mode == policy.Bypass:
		return ByPolicy
	case !r.Unsent && !r.Unprocessed && !(c.Idempotent() && c.Replayable):
		return Unsafe
	case r.Spent, int(c.attempts) >= c.rule.Retry.MaxAttempts:
		return Exhausted
	}
	return ""
}

// multiplies says that another attempt would be one more layer's: the call is itself marked as a retry, and the service
// says that it has too much to do.
func (c *Call) multiplies(r *Result) bool {
	return c.Retried && (r.Outcome == health.Overloaded || r.Outcome == health.Pushback)
}

// pause is the backoff before the next attempt.
func (c *Call) pause() time.Duration {
	set := &c.rule.Retry.Backoff
	b := &c.failedOnce().backoff
	if b.Clock == nil { // the first pause of the call
		*b = backoff.ExponentialBackOff{
			InitialInterval: set.Initial, MaxInterval: set.Max, Multiplier: set.Multiplier,
			RandomizationFactor: set.Jitter, Stop: backoff.Stop, Clock: backoff.SystemClock,
		}
		b.Reset()
	}
	return min(b.NextBackOff(), set.Max) // its jitter exceeds its own maximum
}

// rest is how long the call must leave everybody alone: where nobody else is left to ask, the endpoint's own word stands
// in for the backoff (gRFC A6). A call does not wait for longer than a backoff may be, nor ask sooner than it was told: it
// ends, and its caller hears when to come back.
func (c *Call) rest(now time.Duration, r *Result) time.Duration {
	if r.Pause <= 0 {
		return 0
	}
	return c.upstream.set.View().Rest(now)
}

func (c *Call) usual() time.Duration {
	return time.Duration(c.rule.usual.Read() * float64(time.Second))
}

// sleep waits out a backoff; the reason says what ended it early.
func (c *Call) sleep(ctx context.Context, d time.Duration) Reason {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return ""
	case <-ctx.Done():
		return reasonOf(ctx.Err())
	case <-c.upstream.Closed():
		return Closed
	}
}

// drop ends an attempt that is not the answer, and remembers it for the error.
func (c *Call) drop(a Attempt, s *State, r *Result) {
	if r.NoPick && s.Endpoint() == nil {
		c.tries--
	}
	a.Discard()
	s.End(r.Err, false)
	if s.Endpoint() != nil {
		rec := s.record()
		rec.Duration = health.Now() - s.start
		p := c.failedOnce()
		p.records = append(p.records, rec)
	}
}

// failed is the failure of a call whose last result this was.
func (c *Call) failed(ctx context.Context, why Reason, r *Result) *Failure {
	err := r.Err
	switch {
	case why == Closed:
		err = errInterrupted
	case ctx.Err() != nil:
		err = ctx.Err()
	case why == Deadline && c.deadline != 0 && health.Now() >= c.deadline && !errors.Is(err, ErrTimeout):
		err = errors.Join(ErrTimeout, err) // the attempt's own error stands beside what ended the call
	}
	c.upstream.decided(ctx, "refuse", why, true)
	return c.upstream.failure(why, err)
}

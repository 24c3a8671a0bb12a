package engine

import (
	"context"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/onehop-go/onehop/internal/balance"
	"github.com/onehop-go/onehop/internal/health"
	"github.com/onehop-go/onehop/internal/overload"
)

// Call is one call on its way. A protocol embeds it, fills in the exported fields, and calls Run once. Not for reuse.
type Call struct {
	Protocol   string   // "http", "grpc", "do", "conn"
	Method     string   // HTTP method, "/pkg.Service/Method", or the name given to onehop.Method
	Path       string   // HTTP: the escaped path
	Safe       bool     // idempotent by the protocol's own rules
	Replayable bool     // can be sent again after it was sent: no body, or one that can be rewound
	Retried    bool     // is itself a retry of the caller's caller, which marked it
	Stream     bool     // lives on after its first answer: no time of the policy bounds it, and it is never hedged
	prompt     bool     // it did not wait for its upstream
	entered    [2]bool  // the fixed limits: of all calls, of the route's
	place      uint8    // the datacenter it was admitted to: 0 the own
	keyed      uint64   // the place on a ring by the upstream's HashField; 0: none
	Options    *Options // nil: none

	upstream *Upstream
	plan     *plan
	rule     *rule
	start    time.Duration
	deadline time.Duration   // instant; 0: none but the caller's
	attempts int32           // that count: on the wire, or made like them
	tries    int32           // all
	past     *past           // nil until the first failure
	ctx      context.Context // with what the hooks added
	winner   Attempt
	end      *end // nil until it is done, or nobody listens
}

// end is how a call ended, for the observer.
type end struct {
	duration time.Duration
	err      error
}

// past is what a call that failed once remembers. It stands apart because a call is paid by its bytes.
type past struct {
	moved   int // what tries that moved on unsent have cost
	tried   []*health.Endpoint
	records []Record
	backoff backoff.ExponentialBackOff // its Clock is nil until the first pause
}

// failedOnce is the call's past, which begins now.
func (c *Call) failedOnce() *past {
	if c.past == nil {
		c.past = &past{}
	}
	return c.past
}

// Upstream is what is called.
func (c *Call) Upstream() *Upstream { return c.upstream }

// Winner is the attempt whose answer the caller gets, after Run returned nil.
func (c *Call) Winner() Attempt { return c.winner }

// Route is the name of the route the call obeys; "": none.
func (c *Call) Route() string { return c.rule.name }

// Tries is how many attempts were made, unsent ones included.
func (c *Call) Tries() int { return int(c.tries) }

// MaxAttempts is how many requests of this call a server may see.
func (c *Call) MaxAttempts() int { return c.rule.Retry.MaxAttempts }

// IdleTimeout is the policy's bound on a read of the body that waits; 0: none.
func (c *Call) IdleTimeout() time.Duration { return c.rule.IdleTimeout }

// Timed says whether any time bounds the call: the protocol needs a timer.
func (c *Call) Timed() bool {
	return c.deadline != 0 || c.rule.AttemptTimeout > 0 || c.rule.IdleTimeout > 0
}

// Start is the instant the call began; Duration and Err are known when it is done.
func (c *Call) Start() time.Duration { return c.start }

// Duration is how long the call took, to the end of its body; 0: it is not done.
func (c *Call) Duration() time.Duration {
	if c.end == nil {
		return 0
	}
	return c.end.duration
}

// Err is what the call ended with.
func (c *Call) Err() error {
	if c.end == nil {
		return nil
	}
	return c.end.err
}

// Idempotent says whether the call may be executed twice: by its protocol, by the code, or by its route.
func (c *Call) Idempotent() bool {
	return c.Safe || c.rule.idempotent && c.named() || c.Options != nil && c.Options.Idempotent
}

// named: a route that names no methods speaks of a whole path, and does not mean its POSTs.
func (c *Call) named() bool {
	return !(c.Protocol == "http" && c.Method == post) || len(c.rule.match.Methods) > 0
}

// Retryable says whether the call may be sent again after it was sent.
func (c *Call) Retryable() bool {
	return c.Replayable && c.plan.apply && c.rule.Retry.MaxAttempts > 1 && !c.noRetry() && c.Idempotent()
}

func (c *Call) noRetry() bool { return c.Options != nil && c.Options.NoRetry }

// Hash is where the call's key lies on a ring; 0: it has none.
func (c *Call) Hash() uint64 {
	if c.Options != nil && c.Options.HashKey != "" {
		return ringPlace(c.Options.HashKey)
	}
	return c.keyed
}

// Keyed gives the call the key that came in the upstream's HashField; "": none. One of the Options wins.
func (c *Call) Keyed(key string) {
	if key != "" {
		c.keyed = ringPlace(key)
	}
}

// ringPlace is where a key lies on a ring, which is never 0.
func ringPlace(key string) uint64 { return max(1, balance.Hash(key)) }

// conn says that the call opens a connection which stays: layer 4.
func (c *Call) conn() bool { return c.Protocol == "conn" }

// post is the method that is never called repeatable by a whole path, nor risked by a probe.
const post = "POST"

// mayProbe: a probe risks the call's first attempt, which must be repeatable; a POST is never risked, whatever its
// headers say.
func (c *Call) mayProbe() bool { return c.Method != post && c.Retryable() }

// begin fixes what the call obeys, and asks whether it may go.
func (c *Call) begin(ctx context.Context, u *Upstream) (context.Context, *Failure) {
	c.upstream, c.start = u, health.Now()
	c.prompt = u.ready.Load()
	f := u.await(ctx, u.born+FirstWait)
	c.plan = u.plan.Load()
	c.rule = c.plan.rule(c)
	c.ctx = ctx
	if h := u.hooks; h != nil && h.CallStart != nil {
		c.ctx = h.CallStart(ctx, c)
	}
	if f != nil {
		return c.ctx, f
	}
	timeout := c.rule.Timeout
	if c.Options != nil && c.Options.HasTimeout {
		timeout = c.Options.Timeout
	}
	if timeout > 0 && !c.Stream {
		c.deadline = c.start + timeout
	}
	return c.ctx, c.admit()
}

// admit asks the fixed limits and the brake. In observe mode their no is told and not obeyed.
func (c *Call) admit() *Failure {
	for i, g := range [...]*gate{c.plan.gate, c.rule.gate} {
		err := g.enter(c.start)
		c.entered[i] = err == nil
		if err == nil {
			continue
		}
		if f := c.refuse(Limit, err); f != nil {
			return f
		}
	}
	c.place = uint8(c.upstream.set.Place())
	if c.plan.policy.Overload && !c.upstream.brakeOf(int(c.place)).Admit() {
		if f := c.refuse(Overload, errBraked); f != nil {
			c.upstream.brakeOf(int(c.place)).Refuse()
			return f
		}
	}
	return nil
}

// refuse tells of a refusal, and makes it where decisions are acted on.
func (c *Call) refuse(why Reason, err error) *Failure {
	c.upstream.decided(c.ctx, "refuse", why, c.plan.apply)
	if !c.plan.apply {
		return nil
	}
	c.leave()
	return c.upstream.failure(why, err)
}

// leave frees the call's place under the fixed limits.
func (c *Call) leave() {
	for i, g := range [...]*gate{c.plan.gate, c.rule.gate} {
		if c.entered[i] {
			g.leave()
		}
	}
}

// release ends the call's stay under limits and brake, and tells the brake how it went.
func (c *Call) release(now time.Duration, r *Result, timedOut bool) {
	c.leave()
	if !c.plan.policy.Overload {
		return
	}
	v := overload.Silent
	switch {
	case r.Outcome == health.OK:
		v = overload.Good
	case r.Outcome == health.Overloaded, r.Outcome == health.Pushback, timedOut:
		v = overload.Bad
	}
	c.upstream.brakeOf(int(c.place)).Done(now, v)
}

// done tells the observer that the call is over.
func (c *Call) done(err error) {
	h := c.upstream.hooks
	if h == nil || h.CallDone == nil {
		return
	}
	c.end = &end{health.Now() - c.start, err}
	h.CallDone(c.ctx, c)
}

// remaining is the time left by the policy and by the caller; false: no end is set.
func (c *Call) remaining(ctx context.Context, now time.Duration) (time.Duration, bool) {
	left, bounded := time.Duration(1<<63-1), false
	if c.deadline != 0 {
		left, bounded = c.deadline-now, true
	}
	if d, ok := ctx.Deadline(); ok {
		left, bounded = min(left, time.Until(d)), true
	}
	return left, bounded
}

package sim

import (
	"context"
	"errors"
	"time"

	"github.com/onehop-go/onehop/internal/dialer"
	"github.com/onehop-go/onehop/internal/engine"
	"github.com/onehop-go/onehop/internal/health"
)

// call is one call of the real engine: a GET without a body, as httpclient would make it.
type call struct {
	engine.Call
	client *engineClient
	first  attempt
	used   bool
}

// NewAttempt implements engine.Protocol.
func (c *call) NewAttempt() engine.Attempt {
	if !c.used {
		c.used = true
		c.first.call = c
		return &c.first
	}
	return &attempt{call: c}
}

// attempt judges what the network says as httpclient does.
type attempt struct {
	engine.State
	call   *call
	status int
}

// Discard implements engine.Attempt: there is no body.
func (a *attempt) Discard() {}

// Send implements engine.Attempt.
func (a *attempt) Send(ctx context.Context) engine.Result {
	if !a.Pick(nil) {
		return engine.Result{NoPick: true}
	}
	ctx = a.Begun(ctx)
	if a.Deadline() > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, a.Deadline()-health.Now(), engine.ErrTimeout)
		defer cancel()
	}
	c := a.call.client
	s := c.world.server(a.Endpoint().Addr())
	l := c.net.connected(s)
	if l == nil {
		var err error
		if l, err = c.net.dial(ctx, s, c.up.ConnectTimeout()); err != nil {
			return a.undialled(ctx, s, err)
		}
		a.Endpoint().Dialed(health.Now())
	}
	return a.sent(ctx, s, l)
}

// undialled is an attempt that got no connection.
func (a *attempt) undialled(ctx context.Context, s *Server, err error) engine.Result {
	if ctx.Err() != nil {
		return ended(ctx)
	}
	c := a.call.client
	r := engine.Result{Outcome: health.Refused, Unsent: true, Err: err}
	if dialer.Timeout(err) {
		r.Outcome = health.Failed
	}
	r.Redial = func(ctx context.Context) error { return c.net.redial(ctx, s, c.up.ConnectTimeout()) }
	return r
}

// sent is an attempt on the wire.
func (a *attempt) sent(ctx context.Context, s *Server, l *life) engine.Result {
	var timer <-chan time.Time
	if a.Timeout > 0 {
		t := time.NewTimer(a.Timeout)
		defer t.Stop()
		timer = t.C
	}
	status, err := s.send(ctx, l, a.call.Path, timer)
	switch {
	case errors.Is(err, errTimer):
		return engine.Result{Ended: engine.ByTimer, Err: engine.ErrAttemptTimeout}
	case ctx.Err() != nil && err != nil:
		return ended(ctx)
	case err != nil:
		return engine.Result{Outcome: health.Failed, Kind: engine.Reset, Err: err}
	}
	a.status = status
	r := engine.Result{Answer: true, Status: status, Kind: engine.KindOfStatus(status)}
	switch status {
	case 500, 502, 504:
		r.Outcome = health.Failed
	case 503:
		r.Outcome = health.Overloaded
	case 429:
		r.Outcome = health.Pushback
	}
	return r
}

func ended(ctx context.Context) engine.Result {
	r := engine.Result{Ended: engine.ByCaller, Err: context.Cause(ctx)}
	switch {
	case errors.Is(r.Err, engine.ErrLost):
		r.Ended = engine.ByLoop
	case errors.Is(r.Err, context.DeadlineExceeded):
		r.Ended = engine.ByDeadline
	}
	return r
}

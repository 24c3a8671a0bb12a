package onehop

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/onehop-go/onehop/internal/dialer"
	"github.com/onehop-go/onehop/internal/engine"
	"github.com/onehop-go/onehop/internal/health"
	"github.com/onehop-go/onehop/resolver"
)

// Do calls try until it succeeds or nothing is left to do. ctx of try ends when try returns: T must not depend on it. An
// error that try returns is judged by Classify, else: connection refused, reset, timed out and unreachable as such, any
// other as the application's own, returned as it is. Otherwise the error is an *Error that wraps the last one.
func Do[T any](ctx context.Context, u *Upstream, try func(ctx context.Context, ep resolver.Endpoint) (T, error), opts ...CallOption) (T, error) {
	var none T
	if err := checkDo(ctx, u, try == nil); err != nil {
		return none, err
	}
	o := optionsOf(ctx, opts)
	c := &doCall[T]{try: try}
	c.Protocol, c.Replayable, c.Options = "do", true, o
	if o != nil {
		c.Method = o.Method
	}
	if err := c.Run(ctx, u.live, c); err != nil {
		return none, publicError(err)
	}
	a := c.Winner().(*doAttempt[T]) //nolint:forcetypeassert // NewAttempt's
	a.End(a.err, false)
	return a.value, a.err
}

var (
	errNilContext  = errors.New("the context is nil: pass context.Background()")
	errNilUpstream = errors.New("the *onehop.Upstream is nil: get one from Client.Upstream")
	errNilTry      = errors.New("try is nil: it makes one attempt at the endpoint it is given")
)

func checkDo(ctx context.Context, u *Upstream, noTry bool) error {
	switch {
	case u == nil:
		return &Error{Reason: ReasonInvalid, Err: errNilUpstream}
	case u.err != nil:
		return u.err
	case ctx == nil:
		return &Error{Reason: ReasonInvalid, Target: u.target, Err: errNilContext}
	case noTry:
		return &Error{Reason: ReasonInvalid, Target: u.target, Err: errNilTry}
	}
	return nil
}

type doCall[T any] struct {
	engine.Call
	try func(context.Context, resolver.Endpoint) (T, error)
}

func (c *doCall[T]) NewAttempt() engine.Attempt {
	return &doAttempt[T]{try: c.try, options: c.Options}
}

type doAttempt[T any] struct {
	engine.State
	limited
	try     func(context.Context, resolver.Endpoint) (T, error)
	options *callOptions
	value   T
	err     error
}

func (a *doAttempt[T]) Send(ctx context.Context) engine.Result {
	if !a.Pick(nil) {
		return engine.Result{}
	}
	ctx = a.limit(a.Begun(ctx), a.Core())
	defer a.release()
	a.value, a.err = a.try(ctx, *a.Endpoint().Info())
	return a.classify()
}

func (a *doAttempt[T]) Discard() {
	var none T
	a.value = none
}

// classify judges what try returned: by the caller's own rule, by who ended it, by the network's.
func (a *doAttempt[T]) classify() engine.Result {
	if a.err == nil {
		return engine.Result{Outcome: health.OK, Answer: true}
	}
	if r, ok := a.ended(a.err); ok {
		return r
	}
	if a.options != nil && a.options.Classify != nil {
		if o, ok := a.options.Classify(a.err); ok {
			return judged(o, a.err)
		}
	}
	r, ok := engine.Network(a.err)
	if !ok {
		return engine.Result{Outcome: health.OK, Answer: true, Err: a.err}
	}
	if r.Outcome == health.Refused || r.Unsent && dialer.Timeout(a.err) {
		r.Redial = redial(a.Endpoint())
	}
	return r
}

// judged is the result of an error that the caller's own rule gave an outcome.
func judged(o health.Outcome, err error) engine.Result {
	r := engine.Result{Outcome: o, Err: err, Answer: o == health.OK || o == health.Ignored}
	switch o {
	case health.Refused:
		r.Unsent, r.Kind = true, engine.Unavailable
	case health.Failed, health.Overloaded:
		r.Kind = engine.Unavailable
	case health.OK, health.Pushback, health.Ignored, health.Injected:
	}
	return r
}

// redial connects to the endpoint and lets go: what confirms a refusal, and later probes.
func redial(e *health.Endpoint) func(context.Context) error {
	return func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, probeTimeout)
		defer cancel()
		conn, err := dialEndpoint(ctx, "tcp", e)
		if err != nil {
			return err
		}
		return conn.Close()
	}
}

// dialEndpoint connects to the first address of the endpoint that answers.
func dialEndpoint(ctx context.Context, network string, e *health.Endpoint) (net.Conn, error) {
	info := e.Info()
	return dialer.First(ctx, dialer.Default.DialContext, network, info.Addr, info.Alternates)
}

// probeTimeout bounds a dial that no call waits for.
const probeTimeout = time.Second

// limited is the context of an attempt whose protocol obeys contexts.
type limited struct {
	caller context.Context
	ctx    context.Context
	cancel context.CancelCauseFunc
	timer  *time.Timer
	due    time.Duration // instant the timer is set for
	stop   func() bool   // takes back the watch over Close
}

// limit returns the context the attempt travels with: it ends at the attempt's time, at the call's, or at Close.
func (l *limited) limit(ctx context.Context, s *engine.State) context.Context {
	l.caller = ctx
	l.ctx, l.cancel = context.WithCancelCause(ctx)
	due, cause := s.Deadline(), engine.ErrTimeout
	if s.Timeout > 0 && (due == 0 || s.Start()+s.Timeout < due) {
		due, cause = s.Start()+s.Timeout, engine.ErrAttemptTimeout
	}
	if due != 0 {
		l.due = due
		cancel := l.cancel
		l.timer = time.AfterFunc(due-health.Now(), func() { cancel(cause) })
	}
	closed := s.Call().Upstream().Context()
	cancel := l.cancel
	l.stop = context.AfterFunc(closed, func() { cancel(errClosed) })
	return l.ctx
}

func (l *limited) release() {
	l.stop()
	if l.timer != nil {
		l.timer.Stop()
	}
	l.cancel(nil)
}

// ended says who ended the attempt; false: it ended by itself, or its error has nothing to do with the end.
func (l *limited) ended(err error) (engine.Result, bool) {
	if l.ctx.Err() == nil || !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) && !dialer.Timeout(err) {
		return engine.Result{}, false
	}
	cause := context.Cause(l.ctx)
	r := engine.Result{Err: cause}
	switch {
	case errors.Is(cause, engine.ErrAttemptTimeout):
		r.Ended, r.Late = engine.ByTimer, health.Now()-l.due
	case errors.Is(cause, engine.ErrTimeout):
		r.Ended, r.Late = engine.ByDeadline, health.Now()-l.due
	case errors.Is(cause, engine.ErrLost), errors.Is(cause, errClosed):
		r.Ended = engine.ByLoop
	case errors.Is(l.caller.Err(), context.DeadlineExceeded):
		r.Ended = engine.ByDeadline
	default:
		r.Ended = engine.ByCaller
	}
	return r, true
}

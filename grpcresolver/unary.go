package grpcresolver

import (
	"context"
	"errors"
	"io"
	"reflect"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/onehop-go/onehop/internal/engine"
	"github.com/onehop-go/onehop/internal/health"
)

// unaryCall is a unary call on its way, with its first attempt inside: one allocation for both.
type unaryCall struct {
	engine.Call
	ledger
	first      unaryTry
	found      *lookup
	cc         *grpc.ClientConn
	invoker    grpc.UnaryInvoker
	req, reply any
	opts       []grpc.CallOption
}

// unaryTry is one attempt of a unary call.
type unaryTry struct {
	try
	call    *unaryCall
	until   time.Duration // the instant of the attempt's own end; 0: none
	private *private      // where a race is possible: what must not be shared with the other
}

// unary is the innermost interceptor.
func (l *link) unary(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoker grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	found := l.upstream(cc.Target())
	switch {
	case found.err != nil:
		return statusError(found.err)
	case found.up == nil:
		return invoker(ctx, method, req, reply, cc, opts...)
	}
	c := &unaryCall{found: found, cc: cc, invoker: invoker, req: req, reply: reply}
	c.Protocol, c.Method = "grpc", method
	c.Safe, c.Replayable = methodOf(method).idempotent, separable(reply)
	mark(ctx, &c.Call, found.up)
	opts, finish := split(opts)
	c.opts, c.waits = opts, waitsForReady(opts)
	err := c.run(ctx, found.up)
	for _, f := range finish {
		f(err)
	}
	return err
}

func (c *unaryCall) run(ctx context.Context, up *engine.Upstream) error {
	if err := c.Run(ctx, up, c); err != nil {
		return statusError(err)
	}
	won, _ := c.Winner().(*unaryTry)
	if won.private != nil {
		won.private.deliver(c.reply)
	}
	won.End(nil, false)
	return won.EndedWith()
}

// NewAttempt implements engine.Protocol.
func (c *unaryCall) NewAttempt() engine.Attempt {
	t := &c.first
	if t.call != nil {
		t = &unaryTry{}
	} else {
		c.bound(&c.Call)
	}
	t.call, t.ledger = c, &c.ledger
	if c.Hedges() { // now: once a race is on, the call may be over before this attempt begins, and its reply the caller's
		t.private = newPrivate(c.reply, c.opts)
	}
	return t
}

// Send implements engine.Attempt.
func (t *unaryTry) Send(ctx context.Context) engine.Result {
	c := t.call
	if len(c.Upstream().Set().View().All) == 0 && !c.waits {
		return engine.Result{}
	}
	reply, opts := c.reply, c.opts
	if t.private != nil {
		reply, opts = t.private.reply, t.private.opts
	}
	sending, cancel := t.limit(t.start(ctx, c.found))
	defer cancel()
	err := c.invoker(t.carry(sending), c.Method, c.req, reply, c.cc, opts...)
	t.forgo()
	return t.result(ctx, err)
}

func nothing() {}

// limit is ctx with the attempt's own end. attempt_timeout counts from the pick: as long as no connection is
// ready there can be none, so the wait for it comes first.
func (t *unaryTry) limit(ctx context.Context) (context.Context, context.CancelFunc) {
	cancel := nothing
	if t.Deadline() != 0 {
		t.until = t.Deadline()
		ctx, cancel = context.WithDeadline(ctx, health.Time(t.until))
	}
	if t.Timeout == 0 {
		return ctx, cancel
	}
	awaitConnection(ctx, t.call.cc)
	at := health.Now() + t.Timeout
	if t.until != 0 && t.until < at {
		return ctx, cancel
	}
	outer := cancel
	t.until = at
	ctx, inner := context.WithDeadline(ctx, health.Time(at))
	return ctx, func() { inner(); outer() }
}

// awaitConnection waits while the channel may yet become ready.
func awaitConnection(ctx context.Context, cc *grpc.ClientConn) {
	for {
		s := cc.GetState()
		if s == connectivity.Idle {
			cc.Connect()
		}
		if s != connectivity.Idle && s != connectivity.Connecting || !cc.WaitForStateChange(ctx, s) {
			return
		}
	}
}

// result is the attempt's end as the loop wants it. parent is the context that Send was given.
func (t *unaryTry) result(parent context.Context, err error) engine.Result {
	if err == nil {
		return engine.Result{Answer: true}
	}
	if r, ended := t.ended(parent, err); ended {
		return r
	}
	if err == io.EOF { //nolint:errorlint // grpc-go's own word: a send broke, and nobody asked for the reason
		if t.Endpoint() == nil {
			return engine.Result{NoPick: true}
		}
		err = errBroken
	}
	f := t.facts(err)
	if f.refused != nil {
		t.call.found.hurry(health.Now(), t.call.cc)
	}
	f.torn = f.answered() && strings.HasPrefix(status.Convert(err).Message(), tornText)
	f.local = status.Code(err) == codes.Internal && !f.answered() && !marshals(t.call.req)
	return t.settled(&f, classify(f))
}

// tornText begins what grpc-go says of an answer whose connection broke.
const tornText = "error reading from server: "

// early is how much a server's clock, which starts later and is told a rounded time, may yet be ahead of ours.
const early = 10 * time.Millisecond

// ended says whether it was not the endpoint that ended the attempt: the caller, a deadline, a timer.
func (t *unaryTry) ended(parent context.Context, err error) (engine.Result, bool) {
	code := status.Code(err)
	if code != codes.Canceled && code != codes.DeadlineExceeded {
		return engine.Result{}, false
	}
	if r, ended := endedBy(parent); ended {
		return r, true
	}
	if at, ok := parent.Deadline(); ok && code == codes.DeadlineExceeded && time.Until(at) < early {
		return engine.Result{Ended: engine.ByDeadline, Err: context.DeadlineExceeded}, true
	}
	late := health.Now() - t.until
	if code != codes.DeadlineExceeded || t.until == 0 || late < -early {
		return engine.Result{}, false
	}
	late = max(0, late)
	if t.until == t.Deadline() { // the call's, not attempt_timeout's
		return engine.Result{Ended: engine.ByDeadline, Late: late, Err: engine.ErrTimeout}, true
	}
	return engine.Result{Ended: engine.ByTimer, Late: late, NoPick: t.Endpoint() == nil, Err: engine.ErrAttemptTimeout}, true
}

// endedBy says what the end of the caller's context means.
func endedBy(ctx context.Context) (engine.Result, bool) {
	err := ctx.Err()
	switch {
	case err == nil:
		return engine.Result{}, false
	case errors.Is(context.Cause(ctx), engine.ErrLost):
		return engine.Result{Ended: engine.ByLoop, Err: engine.ErrLost}, true
	case errors.Is(err, context.DeadlineExceeded):
		at, _ := ctx.Deadline()
		return engine.Result{Ended: engine.ByDeadline, Late: max(0, time.Since(at)), Err: err}, true
	}
	return engine.Result{Ended: engine.ByCaller, Err: err}, true
}

// Discard implements engine.Attempt. What an attempt wrote through call options must not be taken for the next one's.
func (t *unaryTry) Discard() {
	if t.private == nil {
		clearResults(t.call.opts)
	}
}

// marshals says whether the default codec could encode m. Where it cannot, grpc-go's error looks like a server's.
func marshals(m any) bool {
	p, ok := m.(proto.Message)
	if !ok {
		return false
	}
	_, err := proto.Marshal(p)
	return err == nil
}

// separable says whether an attempt can be given a reply of its own.
func separable(reply any) bool {
	if _, ok := reply.(proto.Message); ok {
		return true
	}
	v := reflect.ValueOf(reply)
	return v.Kind() == reflect.Pointer && !v.IsNil()
}

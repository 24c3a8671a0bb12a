package grpcresolver

import (
	"context"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/balancer"

	"github.com/onehop-go/onehop/internal/engine"
)

// streamCall is a stream of any kind, and the grpc.ClientStream that its caller holds.
//
// The attempt loop runs beside the caller until one attempt has response headers: then the stream is committed (gRFC
// A6), and the caller's every operation goes straight to it. Until then what the caller sends is remembered, by
// reference as grpc-go allows, and sent again on the next attempt. Whatever reads waits for the decision.
type streamCall struct {
	engine.Call
	ledger
	found    *lookup
	cc       *grpc.ClientConn
	desc     *grpc.StreamDesc
	streamer grpc.Streamer
	opts     []grpc.CallOption
	finish   []func(error)

	opened  chan struct{} // closed when the first attempt's stream is open
	decided chan struct{} // closed when the loop is over: committed, or failed
	first   sync.Once     // opened
	ended   sync.Once     // the call's end is told

	mu       sync.Mutex        // below
	current  grpc.ClientStream // nil: none was opened yet
	replaced chan struct{}     // closed when another takes its place; nil: nobody waits for that
	catching <-chan struct{}   // closed when it has got all that was sent on those before; nil: it has
	past     replay            // what was sent, for the next attempt
	local    error             // a message that could not be sent at all
	failure  error             // of a call that ended without an answer; set before decided is closed
}

// stream is the innermost interceptor.
func (l *link) stream(
	ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, streamer grpc.Streamer, opts ...grpc.CallOption,
) (grpc.ClientStream, error) {
	found := l.upstream(cc.Target())
	switch {
	case found.err != nil:
		return nil, statusError(found.err)
	case found.up == nil:
		return streamer(ctx, desc, cc, method, opts...)
	}
	c := &streamCall{found: found, cc: cc, desc: desc, streamer: streamer}
	c.opened, c.decided = make(chan struct{}), make(chan struct{})
	c.Protocol, c.Method, c.Stream = "grpc", method, true
	c.Safe, c.Replayable = methodOf(method).idempotent, true
	mark(ctx, &c.Call, found.up)
	c.opts, c.finish = split(opts)
	c.waits = waitsForReady(opts)
	go c.run(ctx)
	select {
	case <-c.opened:
		return c, nil
	case <-c.decided:
	}
	if c.failure != nil {
		return nil, c.failure
	}
	return c, nil
}

// run is the attempt loop. It ends at the decision.
func (c *streamCall) run(ctx context.Context) {
	err := c.Run(ctx, c.found.up, c)
	c.mu.Lock()
	c.forget() // the stream is committed, or lost
	won, _ := c.Winner().(*streamTry)
	switch {
	case err != nil:
		c.failure = statusError(err)
	case won.stream == nil || won.capped:
		c.failure = won.EndedWith() // grpc-go could not go on, and no other endpoint would change that
	default:
		c.current = won.stream
	}
	failure := c.failure
	c.mu.Unlock()
	switch { // an end that has come already is told before the caller can see it, as grpc-go does
	case won != nil && failure != nil:
		won.finish(balancer.DoneInfo{Err: failure})
	case won != nil:
		if won.commit() {
			context.AfterFunc(won.stream.Context(), func() { won.finish(balancer.DoneInfo{}) }) //nolint:contextcheck // the context is the stream's
		}
	default:
		c.tell(failure)
	}
	close(c.decided)
}

// tell calls the OnFinish options, once.
func (c *streamCall) tell(err error) {
	c.ended.Do(func() {
		for _, f := range c.finish {
			f(err)
		}
	})
}

// NewAttempt implements engine.Protocol.
func (c *streamCall) NewAttempt() engine.Attempt {
	if c.Tries() == 0 {
		c.bound(&c.Call)
	}
	t := &streamTry{call: c}
	t.ledger, t.over = &c.ledger, t.finish
	return t
}

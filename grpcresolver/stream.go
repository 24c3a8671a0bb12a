package grpcresolver

import (
	"context"
	"errors"
	"io"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/onehop-go/onehop/internal/engine"
	"github.com/onehop-go/onehop/internal/health"
)

// streamCall is a stream of any kind, and the grpc.ClientStream that its caller holds.
//
// The attempt loop runs beside the caller until one attempt has response headers: then the stream is committed (gRFC
// A6), and the caller's every operation goes straight to it. Until then what the caller sends is remembered, by
// reference as grpc-go allows, and sent again on the next attempt. Whatever reads waits for the decision.
//
// A call that may not be sent twice is direct: once open it is the caller's, and the caller's first RecvMsg tells
// the loop how it went. Waiting for headers by ClientStream.Header would take its transparent retry from grpc-go, and with it the
// only knowledge of streams that were never processed.
type streamCall struct {
	engine.Call
	ledger
	found    *lookup
	cc       *grpc.ClientConn
	desc     *grpc.StreamDesc
	streamer grpc.Streamer
	opts     []grpc.CallOption
	finish   []func(error)

	direct  bool          // set before opened is closed
	heard   chan error    // direct: what the first RecvMsg said
	once    sync.Once     // heard
	opened  chan struct{} // closed when the first attempt's stream is open
	decided chan struct{} // closed when the loop is over: committed, or failed
	first   sync.Once     // opened
	ended   sync.Once     // the call's end is told

	mu      sync.Mutex // below
	current grpc.ClientStream
	past    replay // what was sent, for the next attempt
	local   error  // a message that could not be sent at all
	failure error  // of a call that ended without an answer; set before decided is closed
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
	c.heard, c.opened, c.decided = make(chan error, 1), make(chan struct{}), make(chan struct{})
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
	c.past.forget() // the stream is committed, or lost
	won, _ := c.Winner().(*streamTry)
	switch {
	case err != nil:
		c.failure = statusError(err)
	case won.stream == nil || won.capped:
		c.failure = won.err // grpc-go could not go on, and no other endpoint would change that
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
			context.AfterFunc(won.stream.Context(), func() { won.finish(balancer.DoneInfo{}) })
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
		c.direct = !c.Retryable()
	}
	t := &streamTry{call: c}
	t.ledger, t.over = &c.ledger, t.finish
	return t
}

// open makes a stream the current one, after what was sent before has been sent on it, too. false: it broke meanwhile.
func (c *streamCall) open(s grpc.ClientStream) bool {
	for i := 0; ; i++ {
		c.mu.Lock()
		if i == len(c.past.messages) {
			if c.past.closed {
				_ = s.CloseSend() // always nil
			}
			c.current = s
			c.mu.Unlock()
			c.first.Do(func() { close(c.opened) })
			return true
		}
		m := c.past.messages[i]
		c.mu.Unlock()
		if s.SendMsg(m) != nil { // without the lock: flow control may hold it
			return false
		}
	}
}

// now is the current stream, and whether the loop is over.
func (c *streamCall) now() (s grpc.ClientStream, over bool) {
	select {
	case <-c.decided:
		over = true
	default:
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.current, over
}

// SendMsg implements grpc.ClientStream. Before the decision a broken stream is no error: the loop may find another.
func (c *streamCall) SendMsg(m any) error {
	for {
		s, over := c.now()
		if over && c.failure != nil {
			return io.EOF // RecvMsg has the reason
		}
		err := s.SendMsg(m) // without the lock: flow control may hold it, and the first answer must not wait for it
		if over || c.direct || err != nil && !errors.Is(err, io.EOF) {
			c.cannotSend(err)
			return err
		}
		if c.remember(s, m) {
			return nil
		}
	}
}

// cannotSend notes a message that grpc-go refused: the stream is over, and would be on any endpoint.
func (c *streamCall) cannotSend(err error) {
	if err == nil || errors.Is(err, io.EOF) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.local = err
}

// remember keeps what was sent on s for another attempt. false: s is the current one no longer, and m is not on what
// took its place.
func (c *streamCall) remember(s grpc.ClientStream, m any) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current != s {
		return false
	}
	c.past.add(m)
	return true
}

// CloseSend implements grpc.ClientStream.
func (c *streamCall) CloseSend() error {
	c.mu.Lock()
	c.past.closed = true
	s := c.current
	c.mu.Unlock()
	return s.CloseSend() // never waits
}

// RecvMsg implements grpc.ClientStream.
func (c *streamCall) RecvMsg(m any) error {
	if c.direct {
		return c.recvDirect(m)
	}
	<-c.decided
	if c.failure != nil {
		return c.failure
	}
	return c.current.RecvMsg(m)
}

// recvDirect is the RecvMsg of a direct call. The first one waits for the loop's verdict, which knows better than a broken
// connection's status why the call ends here.
func (c *streamCall) recvDirect(m any) error {
	s, _ := c.now()
	err := s.RecvMsg(m)
	c.once.Do(func() {
		c.heard <- err
		<-c.decided
		if c.failure != nil {
			err = c.failure
		}
	})
	return err
}

// Header implements grpc.ClientStream.
func (c *streamCall) Header() (metadata.MD, error) {
	if c.direct {
		s, _ := c.now()
		return s.Header()
	}
	<-c.decided
	if c.failure != nil {
		return nil, c.failure
	}
	return c.current.Header()
}

// Trailer implements grpc.ClientStream. Asked for before the end, it commits, as with grpc-go.
func (c *streamCall) Trailer() metadata.MD { return c.pinned().Trailer() }

// Context implements grpc.ClientStream. It commits, as with grpc-go.
func (c *streamCall) Context() context.Context { return c.pinned().Context() }

// pinned is the current stream, from now on the last one.
func (c *streamCall) pinned() grpc.ClientStream {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.past.forget()
	return c.current
}

// streamTry is one attempt of a stream.
type streamTry struct {
	try
	call   *streamCall
	stream grpc.ClientStream
	cancel context.CancelFunc // abandons this attempt alone
	err    error              // what the caller gets where there is no stream
}

// Send implements engine.Attempt: the first end of a stream is its response headers, or its trailers without headers.
func (t *streamTry) Send(ctx context.Context) engine.Result {
	c := t.call
	if len(c.Upstream().Set().View().All) == 0 && !c.waits {
		return engine.Result{}
	}
	sending, cancel := context.WithCancel(t.start(ctx, c.found))
	t.cancel = cancel
	s, err := c.streamer(t.carry(sending), c.desc, c.cc, c.Method, c.opts...)
	t.forgo()
	if err != nil {
		cancel()
		return t.result(ctx, err)
	}
	t.stream = s
	whole := c.open(s)
	if c.direct {
		return t.listen(ctx)
	}
	if md, _ := s.Header(); md != nil && whole {
		return engine.Result{Answer: true, Unsampled: true}
	}
	return t.result(ctx, ended(s))
}

// ended is how a stream without headers ended; nil: well. Only RecvMsg tells: what grpc-go says elsewhere is nothing where a
// send noticed the end first. There is no message that could be decoded.
func ended(s grpc.ClientStream) error {
	if err := s.RecvMsg(&emptypb.Empty{}); !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

// listen waits for what the caller's first RecvMsg says.
func (t *streamTry) listen(ctx context.Context) engine.Result {
	var err error
	select {
	case err = <-t.call.heard:
	case <-ctx.Done():
		err = status.FromContextError(ctx.Err()).Err()
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return t.result(ctx, err)
}

func (t *streamTry) result(parent context.Context, err error) engine.Result {
	if err == nil {
		return engine.Result{Answer: true, Unsampled: true} // an empty answer is an answer
	}
	if code := status.Code(err); code == codes.Canceled || code == codes.DeadlineExceeded {
		if r, ended := endedBy(parent); ended {
			return r
		}
	}
	f := t.facts(err)
	if f.refused != nil {
		t.call.found.hurry(health.Now(), t.call.cc)
	}
	local, replayable := t.call.standing()
	f.local = local
	r := classify(f)
	r.Unsampled = true
	t.err = r.Err
	if !replayable {
		t.call.Replayable, r.Unsent = false, false
	}
	return t.settled(&f, r)
}

// standing says whether a message could not be sent at all, and whether all that was sent can be sent again.
func (c *streamCall) standing() (local, replayable bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.local != nil, !c.past.lost
}

// Discard implements engine.Attempt.
func (t *streamTry) Discard() {
	if t.cancel != nil {
		t.cancel()
	}
}

// finish is the second end of the stream the caller had. One that breaks in the middle counts against its endpoint; one
// that its caller ended does not.
func (t *streamTry) finish(info balancer.DoneInfo) {
	o, _ := judge(status.Code(info.Err))
	begun := info.BytesReceived && len(info.Trailer["content-type"]) == 0
	t.End(info.Err, begun && o == health.Failed)
	t.cancel()
	t.call.tell(info.Err)
}

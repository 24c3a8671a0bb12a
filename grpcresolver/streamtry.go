package grpcresolver

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/onehop-go/onehop/internal/engine"
	"github.com/onehop-go/onehop/internal/health"
)

// streamTry is one attempt of a stream.
type streamTry struct {
	try
	call   *streamCall
	stream *wireStream
	cancel context.CancelFunc // abandons this attempt alone
}

// wireStream is what grpc-go, or an interceptor inside of ours, opened. Its address says which one it is: an interceptor's
// stream may be of a type that cannot be compared.
type wireStream struct{ grpc.ClientStream }

// Send implements engine.Attempt: the first end of a stream is its response headers, or its trailers without headers.
func (t *streamTry) Send(ctx context.Context) engine.Result {
	c := t.call
	if len(c.Upstream().Set().View().All) == 0 && !c.waits {
		return engine.Result{}
	}
	sending, cancel := context.WithCancel(t.start(ctx, c.found))
	t.cancel = cancel
	opened, err := c.streamer(t.carry(sending), c.desc, c.cc, c.Method, c.opts...)
	t.forgo()
	if err != nil {
		cancel()
		return t.result(ctx, err)
	}
	s := &wireStream{opened}
	t.stream = s
	before := t.ledger.lastError()
	resumed := t.resume()
	md, _ := s.Header()
	if r, over := endedBy(ctx); over && md != nil { // both at once: what comes after its caller has left is no answer
		t.leave()
		<-resumed
		return r
	}
	if md != nil && c.settle(s, resumed) {
		return engine.Result{Answer: true, Unsampled: true}
	}
	if c.forgotten(s) {
		return t.abandon(before)
	}
	err = ended(s)
	<-resumed
	return t.result(ctx, err)
}

var nothingBefore = func() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// resume sends what was sent on the streams before, beside the loop: a server may answer before it reads, and flow control
// holds what it does not read. The channel is closed when that is over.
func (t *streamTry) resume() <-chan struct{} {
	c, s := t.call, t.stream
	if before, _ := c.now(); before == nil {
		c.open(s)
		return nothingBefore
	}
	over := make(chan struct{})
	go func() {
		whole := c.open(s)
		c.mu.Lock()
		defer c.mu.Unlock()
		close(over)
		switch {
		case whole:
		case c.catching == over: // it is the call's, and broke
			c.catching = nil
		case c.lacking(s): // the server would wait for the rest
			t.cancel()
		}
	}()
	return over
}

var errForgotten = status.Error(codes.Unavailable, "the stream broke, and what was sent on it is not kept any more")

// abandon ends a stream on which not all can be sent that was sent before: the attempt before, which ended with err, was the
// last.
func (t *streamTry) abandon(err error) engine.Result {
	if err == nil {
		err = errForgotten
	}
	t.leave()
	t.stream = nil
	return engine.Result{Outcome: health.Ignored, Answer: true, Stop: true, Unsampled: true, Err: err}
}

// leave ends the stream, after which grpc-go touches no call option any more.
func (t *streamTry) leave() {
	t.cancel()
	for t.stream.RecvMsg(&emptypb.Empty{}) == nil { //nolint:revive // what has come already is read
	}
}

// ended is how a stream without headers ended; nil: well. Only RecvMsg tells: what grpc-go says elsewhere is nothing where a
// send noticed the end first. There is no message that could be decoded.
func ended(s grpc.ClientStream) error {
	if err := s.RecvMsg(&emptypb.Empty{}); !errors.Is(err, io.EOF) {
		return err
	}
	return nil
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
	if !replayable {
		t.call.Replayable, r.Unsent, r.Unprocessed = false, false, false
	}
	return t.settled(&f, r)
}

// standing says whether a message could not be sent at all, and whether all that was sent can be sent again.
func (c *streamCall) standing() (local, replayable bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.local != nil, !c.past.lost
}

// forgotten says that not all that was sent can be sent on s.
func (c *streamCall) forgotten(s grpc.ClientStream) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lacking(s)
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

package grpcresolver

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

// What a stream's caller holds: a grpc.ClientStream over whichever attempt is the current one.

// open makes a stream the current one, after what was sent before has been sent on it, too. false: it broke meanwhile, or
// what was sent before is not kept any more.
func (c *streamCall) open(s grpc.ClientStream) bool {
	for i := 0; ; i++ {
		c.mu.Lock()
		switch {
		case c.lacking(s):
			c.mu.Unlock()
			return false
		case i == len(c.past.messages):
			c.caughtUp(s)
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

// lacking says that s cannot get what was sent on the stream before it, which is not kept any more: Context or Trailer were
// asked for, or too much was sent, after the loop had decided to go on. Under mu.
func (c *streamCall) lacking(s grpc.ClientStream) bool {
	return c.past.lost && c.current != nil && c.current != s
}

// caughtUp says that s has got all that was sent before. Under mu.
func (c *streamCall) caughtUp(s grpc.ClientStream) {
	if c.past.closed {
		_ = s.CloseSend() // always nil
	}
	if c.catching != nil { // it is the call's already
		c.catching = nil
		c.past.forget()
	}
	c.replace(s)
}

// replace makes s the current stream. Under mu.
func (c *streamCall) replace(s grpc.ClientStream) {
	c.current = s
	if c.replaced != nil {
		close(c.replaced)
		c.replaced = nil
	}
}

// settle makes s, which the server has answered on, the call's. What was sent before may still be on its way, and what the
// caller sends from now on waits for it. false: it will not come whole.
func (c *streamCall) settle(s grpc.ClientStream, resumed <-chan struct{}) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current == s {
		return true
	}
	if c.lacking(s) {
		return false
	}
	select {
	case <-resumed: // it broke meanwhile: RecvMsg has what the server said before
	default:
		c.catching = resumed
	}
	c.replace(s)
	return true
}

// awaitNext waits until s, which broke, is the current stream no longer, or the loop is over. What is sent meanwhile could
// only be kept, without bounds.
func (c *streamCall) awaitNext(s grpc.ClientStream) {
	c.mu.Lock()
	if c.current != s {
		c.mu.Unlock()
		return
	}
	if c.replaced == nil {
		c.replaced = make(chan struct{})
	}
	replaced := c.replaced
	c.mu.Unlock()
	select {
	case <-replaced:
	case <-c.decided:
	}
}

// now is the current stream, and whether the loop is over.
func (c *streamCall) now() (s grpc.ClientStream, over bool) {
	s, over, _ = c.state()
	return s, over
}

// state is now, and what is closed when s has got all that was sent before it; nil: it has.
func (c *streamCall) state() (s grpc.ClientStream, over bool, catching <-chan struct{}) {
	select {
	case <-c.decided:
		over = true
	default:
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.current, over, c.catching
}

// SendMsg implements grpc.ClientStream. Before the decision a broken stream is no error: the loop may find another.
func (c *streamCall) SendMsg(m any) error {
	for {
		s, over, catching := c.state()
		if over && c.failure != nil {
			return io.EOF // RecvMsg has the reason
		}
		if catching != nil {
			<-catching
			continue
		}
		err := s.SendMsg(m) // without the lock: flow control may hold it, and the first answer must not wait for it
		if over || err != nil && !errors.Is(err, io.EOF) {
			c.cannotSend(err)
			return err
		}
		switch {
		case err != nil:
			c.awaitNext(s)
		case c.remember(s, m):
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
	s, catching := c.current, c.catching
	c.mu.Unlock()
	if catching != nil {
		return nil // what was sent before comes first
	}
	return s.CloseSend() // never waits
}

// RecvMsg implements grpc.ClientStream.
func (c *streamCall) RecvMsg(m any) error {
	<-c.decided
	if c.failure != nil {
		return c.failure
	}
	s, _ := c.now()
	return s.RecvMsg(m)
}

// Header implements grpc.ClientStream.
func (c *streamCall) Header() (metadata.MD, error) {
	<-c.decided
	if c.failure != nil {
		return nil, c.failure
	}
	s, _ := c.now()
	return s.Header()
}

// Trailer implements grpc.ClientStream. Asked for before the end, it commits, as with grpc-go.
func (c *streamCall) Trailer() metadata.MD { return c.pinned().Trailer() }

// Context implements grpc.ClientStream. It commits, as with grpc-go.
func (c *streamCall) Context() context.Context { return c.pinned().Context() }

// pinned is the current stream, from now on the last one.
func (c *streamCall) pinned() grpc.ClientStream {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forget()
	return c.current
}

// forget gives up on another attempt. Under mu.
func (c *streamCall) forget() {
	if c.catching == nil { // else what is kept is on its way to the last one
		c.past.forget()
	}
}

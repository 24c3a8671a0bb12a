package grpcresolver

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

// What a stream's caller holds: a grpc.ClientStream over whichever attempt is the current one.

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

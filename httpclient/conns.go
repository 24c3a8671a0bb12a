package httpclient

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"runtime"
	"sync"
	"weak"
)

// conns knows the open connections of a Transport, so that a Client that closes can break what is in flight: net/http
// closes only idle ones. The usual kinds are held by weak pointers and stay what they are, since net/http and the caller's
// own httptrace look at their types.
type conns struct {
	ctx    context.Context // of dials under way
	cancel context.CancelFunc

	mu     sync.Mutex
	closed bool
	next   uint64
	live   map[uint64]func() error
}

func (c *conns) init() {
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.live = map[uint64]func() error{}
}

// track returns conn, or what takes its place.
func (c *conns) track(conn net.Conn) net.Conn {
	switch v := conn.(type) {
	case *net.TCPConn:
		trackWeakly(c, v)
	case *tls.Conn:
		trackWeakly(c, v)
	default:
		t := &trackedConn{Conn: conn}
		id := c.add(conn.Close)
		t.remove = sync.OnceFunc(func() { c.remove(id) })
		return t
	}
	return conn
}

func trackWeakly[T any, P interface {
	*T
	io.Closer
}](c *conns, conn P) {
	w := weak.Make((*T)(conn))
	id := c.add(func() error {
		if v := w.Value(); v != nil {
			return P(v).Close()
		}
		return nil
	})
	runtime.AddCleanup((*T)(conn), c.remove, id)
}

func (c *conns) add(hangUp func() error) uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		hangUp() //nolint:errcheck // nothing was sent on it
		return 0
	}
	c.next++
	c.live[c.next] = hangUp
	return c.next
}

func (c *conns) remove(id uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.live, id)
}

// close hangs up all connections, those being dialed too, and every later one.
func (c *conns) close() {
	c.cancel()
	c.mu.Lock()
	live := c.live
	c.closed, c.live = true, nil
	c.mu.Unlock()
	for _, hangUp := range live {
		hangUp() //nolint:errcheck // its users are told by their own reads
	}
}

// trackedConn is a connection of the caller's own dialer.
type trackedConn struct {
	net.Conn
	remove func()
}

// NetConn is the connection itself, as tls.Conn has it.
func (t *trackedConn) NetConn() net.Conn { return t.Conn }

// ReadFrom implements io.ReaderFrom by the connection's own, where it has one.
func (t *trackedConn) ReadFrom(r io.Reader) (int64, error) { return io.Copy(t.Conn, r) }

// Close implements net.Conn.
func (t *trackedConn) Close() error {
	t.remove()
	return t.Conn.Close()
}

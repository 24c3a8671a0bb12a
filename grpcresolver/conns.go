package grpcresolver

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/onehop-go/onehop/internal/bridge"
	"github.com/onehop-go/onehop/internal/dialer"
)

var errClosed = errors.New("the onehop client is closed")

// plainDial opens a connection that finds a vanished peer by itself. grpc-go hands on "unix:" addresses as they are.
func plainDial(ctx context.Context, addr string) (net.Conn, error) {
	if path, ok := strings.CutPrefix(addr, "unix:"); ok {
		return dialer.Default.DialContext(ctx, "unix", path)
	}
	return dialer.Default.DialContext(ctx, "tcp", addr)
}

// dial is grpc-go's dialer: bounded by connect_timeout, and remembered for Close.
func (l *link) dial(ctx context.Context, addr string) (net.Conn, error) {
	limit, start := l.connects.timeout(addr), time.Now()
	if limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	conn, err := plainDial(ctx, addr)
	if err != nil {
		return nil, err
	}
	c := l.conns.track(conn, &l.connects)
	if limit > 0 {
		l.connects.begin(c, addr, limit-time.Since(start))
	}
	return c, nil
}

// tracker knows the open connections, so that closing the Client breaks the calls in flight: a shut down SubConn would
// let them finish.
type tracker struct {
	hop  any
	mu   sync.Mutex
	open map[*tracked]struct{}
	stop func() // takes closeAll back; nil while none is open
}

type tracked struct {
	net.Conn
	owner    *tracker
	connects *connects
	addr     string // as it was dialled; "": nothing limits its making. Under connects.mu
}

func (t *tracker) track(conn net.Conn, connects *connects) *tracked {
	c := &tracked{Conn: conn, owner: t, connects: connects}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open == nil {
		t.open = map[*tracked]struct{}{}
	}
	t.open[c] = struct{}{}
	if t.stop == nil {
		t.stop = bridge.OnClose(t.hop, t.closeAll)
	}
	return c
}

// Close ends the connection and forgets it.
func (c *tracked) Close() error {
	c.connects.over(c)
	c.owner.forget(c)
	return c.Conn.Close()
}

// interrupt makes all that is being read and written time out.
func (c *tracked) interrupt() { _ = c.Conn.SetDeadline(time.Unix(1, 0)) }

func (t *tracker) forget(c *tracked) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.open, c)
	if len(t.open) == 0 && t.stop != nil {
		t.stop()
		t.stop = nil
	}
}

func (t *tracker) closeAll() {
	t.mu.Lock()
	open := t.open
	t.open, t.stop = nil, nil
	t.mu.Unlock()
	for c := range open {
		c.interrupt() // a Close alone may wait for a peer that does not read
		_ = c.Conn.Close()
	}
}

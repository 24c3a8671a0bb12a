package faults

import (
	"net"
	"sync"
	"testing"
)

// raw is a server that speaks bytes: each connection is handed to its function, and closed after it.
type raw struct {
	addr string
	l    net.Listener

	mu    sync.Mutex
	conns map[net.Conn]bool
	n     int
}

// listen takes a free port of this machine.
func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func newRaw(t *testing.T, serve func(net.Conn)) *raw {
	t.Helper()
	return newRawOn(t, listen(t), serve)
}

func newRawOn(t *testing.T, l net.Listener, serve func(net.Conn)) *raw {
	t.Helper()
	r := &raw{addr: l.Addr().String(), l: l, conns: map[net.Conn]bool{}}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			r.mu.Lock()
			r.n++
			r.conns[c] = true
			r.mu.Unlock()
			wg.Go(func() {
				serve(c)
				_ = c.Close()
				r.mu.Lock()
				delete(r.conns, c)
				r.mu.Unlock()
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		r.hangUp()
		wg.Wait()
	})
	return r
}

// accepted is how many connections came.
func (r *raw) accepted() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.n
}

// hangUp closes every connection.
func (r *raw) hangUp() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.conns {
		_ = c.Close()
	}
}

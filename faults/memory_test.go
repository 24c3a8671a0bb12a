package faults

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/onehop-go/onehop"
	"github.com/onehop-go/onehop/httpclient"
	"github.com/onehop-go/onehop/resolver"
)

// memory is a network without wires, for bubbles of virtual time: hosts by address, each a real net/http server over
// in-memory connections. It is to be made inside the bubble.
type memory struct {
	t     *testing.T
	mu    sync.Mutex
	hosts map[string]*host
	dials map[string]int // by address, refused ones included
}

// host is one server of a memory network.
type host struct {
	handler http.HandlerFunc
	down    bool // refuses
	gone    bool // swallows: the dial never ends
	accept  chan net.Conn
	conns   map[net.Conn]bool
	seen    int
	done    map[string]int // executions by call id
}

func newMemory(t *testing.T) *memory {
	t.Helper()
	return &memory{t: t, hosts: map[string]*host{}, dials: map[string]int{}}
}

// serve adds a host that answers by h until the test ends.
func (m *memory) serve(addr string, h http.HandlerFunc) *host {
	x := &host{handler: h, accept: make(chan net.Conn), conns: map[net.Conn]bool{}, done: map[string]int{}}
	s := &http.Server{ReadHeaderTimeout: time.Hour, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m.mu.Lock()
		x.seen++
		h := x.handler
		m.mu.Unlock()
		h(w, r)
	})}
	served := make(chan struct{})
	go func() { _ = s.Serve(pipes{x.accept}); close(served) }()
	m.t.Cleanup(func() { _ = s.Close(); <-served })
	m.mu.Lock()
	m.hosts[addr] = x
	m.mu.Unlock()
	return x
}

// pipes is the listener of a host.
type pipes struct{ accept chan net.Conn }

func (p pipes) Accept() (net.Conn, error) {
	c, ok := <-p.accept
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}

func (p pipes) Close() error { close(p.accept); return nil }

func (p pipes) Addr() net.Addr { return &net.UnixAddr{Name: "memory", Net: "unix"} }

// dial implements the DialContext of an http.Transport.
func (m *memory) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	m.mu.Lock()
	m.dials[addr]++
	x := m.hosts[addr]
	refuse, swallow := x == nil || x.down, x != nil && x.gone
	m.mu.Unlock()
	fail := func(err error) error { return &net.OpError{Op: "dial", Net: network, Err: err} }
	switch {
	case refuse:
		return nil, fail(os.NewSyscallError("connect", syscall.ECONNREFUSED))
	case swallow:
		<-ctx.Done()
		return nil, fail(ctx.Err())
	}
	ours, theirs := net.Pipe()
	select {
	case x.accept <- theirs:
	case <-ctx.Done():
		return nil, fail(errors.Join(ctx.Err(), ours.Close()))
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	x.conns[ours] = true
	return ours, nil
}

// set changes a host under the lock.
func (m *memory) set(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f()
}

// kill takes a host down: it refuses, and its connections break.
func (m *memory) kill(x *host) {
	m.mu.Lock()
	defer m.mu.Unlock()
	x.down = true
	for c := range x.conns {
		_ = c.Close()
	}
	x.conns = map[net.Conn]bool{}
}

// dialled is the connections asked for at addr.
func (m *memory) dialled(addr string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.dials[addr]
}

// seen is the requests that reached x.
func (m *memory) seen(x *host) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return x.seen
}

// web calls through hop over this network.
func (m *memory) web(hop *onehop.Client) *http.Client {
	web := httpclient.New(hop, httpclient.WithTransport(&http.Transport{DialContext: m.dial}))
	m.t.Cleanup(web.CloseIdleConnections)
	return web
}

// after answers 200 after d.
func after(d time.Duration) http.HandlerFunc {
	return func(_ http.ResponseWriter, r *http.Request) {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-t.C:
		case <-r.Context().Done():
		}
	}
}

// scripted is a resolver that says what it is told to say.
type scripted struct{ words chan word }

type word struct {
	snapshot resolver.Snapshot
	err      error
}

func newScripted() *scripted { return &scripted{make(chan word, 100)} }

// Watch implements resolver.Resolver.
func (s *scripted) Watch(ctx context.Context, _ resolver.Target, publish func(resolver.Snapshot, error)) {
	for {
		select {
		case w := <-s.words:
			publish(w.snapshot, w.err)
		case <-ctx.Done():
			return
		}
	}
}

// say publishes a snapshot of passing endpoints at addrs.
func (s *scripted) say(addrs ...string) {
	var endpoints []resolver.Endpoint
	for _, a := range addrs {
		endpoints = append(endpoints, resolver.Endpoint{Addr: a, ID: a, Status: resolver.Passing})
	}
	s.words <- word{snapshot: resolver.Snapshot{Endpoints: endpoints, Origin: "script"}}
}

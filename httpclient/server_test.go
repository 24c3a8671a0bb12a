package httpclient_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/onehop-go/onehop"
	"github.com/onehop-go/onehop/policy"
	"github.com/onehop-go/onehop/resolver"
)

// rawServer is a server that does on each connection what a test wants.
type rawServer struct {
	addr     string
	accepted atomic.Int32
	requests ledger

	mu    sync.Mutex
	conns []net.Conn
}

// ledger counts what was executed, by request.
type ledger struct {
	mu   sync.Mutex
	seen map[string]int
}

func (l *ledger) add(what string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.seen == nil {
		l.seen = map[string]int{}
	}
	l.seen[what]++
}

func (l *ledger) total() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, k := range l.seen {
		n += k
	}
	return n
}

func (l *ledger) times(what string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.seen[what]
}

// listenRaw serves each connection by handle on a goroutine of its own; it is closed after handle.
func listenRaw(tb testing.TB, handle func(s *rawServer, c net.Conn, r *bufio.Reader)) *rawServer {
	tb.Helper()
	l, err := (&net.ListenConfig{}).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	s := &rawServer{addr: l.Addr().String()}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.accepted.Add(1)
			s.mu.Lock()
			s.conns = append(s.conns, c)
			s.mu.Unlock()
			wg.Go(func() {
				defer c.Close() //nolint:errcheck // a test's connection
				handle(s, c, bufio.NewReader(c))
			})
		}
	})
	tb.Cleanup(func() {
		l.Close() //nolint:errcheck // a test's listener
		s.mu.Lock()
		for _, c := range s.conns {
			c.Close() //nolint:errcheck // a test's connection
		}
		s.mu.Unlock()
		wg.Wait()
	})
	return s
}

// next reads a request whole and enters it in the ledger by its method, path and body; nil at the end.
func (s *rawServer) next(r *bufio.Reader) *http.Request {
	req, err := http.ReadRequest(r)
	if err != nil {
		return nil
	}
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil
	}
	s.requests.add(req.Method + " " + req.URL.Path + " " + string(body))
	return req
}

func write(c io.Writer, s string) { io.WriteString(c, s) } //nolint:errcheck // the client may have gone

const okAnswer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

// goodServer answers every request.
func goodServer(tb testing.TB) *rawServer {
	tb.Helper()
	return listenRaw(tb, func(s *rawServer, c net.Conn, r *bufio.Reader) {
		for s.next(r) != nil {
			write(c, okAnswer)
		}
	})
}

// pipeNet is a network in memory, for tests in virtual time: real connections are no part of a synctest bubble.
type pipeNet struct {
	conns chan net.Conn
	done  chan struct{}
}

func newPipeNet() *pipeNet { return &pipeNet{make(chan net.Conn), make(chan struct{})} }

// Accept implements net.Listener.
func (p *pipeNet) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (p *pipeNet) Close() error {
	close(p.done)
	return nil
}

// Addr implements net.Listener.
func (p *pipeNet) Addr() net.Addr { return &net.TCPAddr{} }

func (p *pipeNet) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case p.conns <- server:
		return client, nil
	case <-p.done:
		return nil, errors.New("closed")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// serveBubble runs s on a network in memory and returns the transport that leads there. Stop it before the bubble ends.
func serveBubble(s *http.Server) (base *http.Transport, stop func()) {
	p := newPipeNet()
	go s.Serve(p)                                                     //nolint:errcheck // ErrServerClosed
	return &http.Transport{DialContext: p.dial}, func() { s.Close() } //nolint:errcheck // a test's server
}

// hopOf is a Client without Consul, to be closed by the test itself: in a bubble before it ends.
func hopOf(p policy.Policy, addrs ...string) *onehop.Client {
	hop, err := onehop.New(onehop.WithResolver(resolver.Static{"svc": addrs}), onehop.WithPolicies(policy.Static{"svc": p}))
	if err != nil {
		panic(err)
	}
	return hop
}

// send makes a request and returns its status and body; the error is of whichever failed.
func send(ctx context.Context, c *http.Client, method, url string, body io.Reader) (int, string, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return 0, "", err
	}
	resp, err := c.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close() //nolint:errcheck // read whole
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

var quiet = log.New(io.Discard, "", 0)

func asError[E error](err error, target *E) bool { return errors.As(err, target) }

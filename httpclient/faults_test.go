package httpclient_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onehop-go/onehop"
	"github.com/onehop-go/onehop/httpclient"
	"github.com/onehop-go/onehop/internal/consultest"
	"github.com/onehop-go/onehop/policy"
	"github.com/onehop-go/onehop/resolver"
)

// observed is a Client whose decisions are counted by action.
func observed(t *testing.T, p policy.Policy, addrs ...string) (*onehop.Client, *ledger) {
	t.Helper()
	var decided ledger
	hop, err := onehop.New(
		onehop.WithResolver(resolver.Static{"svc": addrs}), onehop.WithPolicies(policy.Static{"svc": p}),
		onehop.WithObserver(onehop.Observer{Decided: func(_ context.Context, d onehop.Decision) { decided.add(d.Action) }}),
	)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { hop.Close() }) //nolint:errcheck // always nil
	return hop, &decided
}

// A server that resets every connection it accepts costs no call, and is avoided.
func TestResetOnAccept(t *testing.T) {
	bad := listenRaw(t, func(_ *rawServer, c net.Conn, _ *bufio.Reader) {
		c.(*net.TCPConn).SetLinger(0) //nolint:errcheck,forcetypeassert // a test's connection
	})
	good := goodServer(t)
	c := httpclient.New(newHop(t, policy.Default(), bad.addr, good.addr))
	const calls = 200
	for range calls {
		if status, _, err := send(t.Context(), c, "GET", "http://svc/", nil); err != nil || status != 200 {
			t.Fatal(status, err)
		}
	}
	if n := bad.accepted.Load(); n == 0 || n > calls/4 {
		t.Errorf("the bad one saw %d of %d calls", n, calls)
	}
}

// Headers that come byte by byte are no answer: attempt_timeout ends the attempt and another instance answers.
func TestHeadersDrip(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		drip, asked := newPipeNet(), atomic.Int32{}
		var dripping sync.WaitGroup
		dripping.Go(func() {
			for c, err := drip.Accept(); err == nil; c, err = drip.Accept() {
				dripping.Go(func() {
					if _, err := http.ReadRequest(bufio.NewReader(c)); err != nil {
						return
					}
					asked.Add(1)
					write(c, "HTTP/1.1 200 OK\r\nX-Drip: ")
					for _, err := c.Write([]byte("x")); err == nil; _, err = c.Write([]byte("x")) { // it never ends by itself
						time.Sleep(5 * time.Millisecond)
					}
				})
			}
		})
		good, stop := serveBubble(&http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, "ok") //nolint:errcheck // the client reads it
		})})
		base := &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			if addr == "10.0.0.1:80" {
				return drip.dial(ctx, network, addr)
			}
			return good.DialContext(ctx, network, addr)
		}}
		p := policy.Default()
		p.AttemptTimeout = 50 * time.Millisecond
		hop := hopOf(p, "10.0.0.1:80", "10.0.0.2:80")
		c := httpclient.New(hop, httpclient.WithTransport(base))
		for range 20 {
			if _, body, err := send(t.Context(), c, "GET", "http://svc/", nil); err != nil || body != "ok" {
				t.Error(body, err)
			}
		}
		if asked.Load() == 0 {
			t.Error("the dripping server was never asked: nothing was tested")
		}
		hop.Close() //nolint:errcheck // always nil
		stop()
		drip.Close() //nolint:errcheck // always nil
		dripping.Wait()
	})
}

// When every answer is a 503, the budget bounds what the retries add, and the 503 is what the caller gets.
func TestBurstOf503(t *testing.T) {
	busy := listenRaw(t, func(s *rawServer, c net.Conn, r *bufio.Reader) {
		for s.next(r) != nil {
			write(c, "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy")
		}
	})
	p := policy.Default()
	p.Overload = false // it would refuse, and there would be less to see
	c := httpclient.New(newHop(t, p, busy.addr))
	const calls = 300
	for range calls {
		if status, body, err := send(t.Context(), c, "GET", "http://svc/", nil); err != nil || status != 503 || body != "busy" {
			t.Fatal(status, body, err)
		}
	}
	if n := busy.requests.total(); n <= calls || n > calls+p.Budget.Min {
		t.Errorf("%d requests for %d calls, with a budget of %d", n, calls, p.Budget.Min)
	}
	if n := busy.accepted.Load(); n > 2 {
		t.Errorf("%d connections: answers that were not wanted must be read to their end", n)
	}
}

// What is no HTTP is an error, and its connection is used by nobody else.
func TestCorruptAnswer(t *testing.T) {
	for _, answer := range []string{
		"SSH-2.0-OpenSSH_9.2\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, identity\r\n\r\nok",
		"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
	} {
		s := listenRaw(t, func(s *rawServer, c net.Conn, r *bufio.Reader) {
			for s.next(r) != nil {
				write(c, answer)
			}
		})
		c := httpclient.New(newHop(t, policy.Default(), s.addr))
		const calls = 5
		for range calls {
			_, _, err := send(t.Context(), c, "POST", "http://svc/", strings.NewReader("x"))
			if onehop.ReasonOf(err) != onehop.ReasonUnsafe {
				t.Errorf("%q: %v", answer, err)
			}
		}
		if s.accepted.Load() != calls || s.requests.total() != calls {
			t.Errorf("%q: %d connections for %d requests", answer, s.accepted.Load(), s.requests.total())
		}
	}
}

// A body that breaks off is told to its reader; no other attempt's body is ever put behind it.
func TestResetInBody(t *testing.T) {
	breaks := listenRaw(t, func(s *rawServer, c net.Conn, r *bufio.Reader) {
		for s.next(r) != nil {
			write(c, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nAAAAA")
			c.(*net.TCPConn).SetLinger(0) //nolint:errcheck,forcetypeassert // a test's connection
			return
		}
	})
	whole := listenRaw(t, func(s *rawServer, c net.Conn, r *bufio.Reader) {
		for s.next(r) != nil {
			write(c, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nBBBBBBBBBB")
		}
	})
	c := httpclient.New(newHop(t, policy.Default(), breaks.addr, whole.addr))
	broken := 0
	for range 50 {
		_, body, err := send(t.Context(), c, "GET", "http://svc/", nil)
		switch {
		case err == nil && body == "BBBBBBBBBB":
		case err != nil && strings.Trim(body, "A") == "":
			broken++
		default:
			t.Errorf("%q %v", body, err)
		}
	}
	if broken == 0 {
		t.Error("nothing broke: nothing was tested")
	}
}

// A body that can be read once is sent once: whole, or to nobody.
func TestBodyWithoutGetBody(t *testing.T) {
	busy := listenRaw(t, func(s *rawServer, c net.Conn, r *bufio.Reader) {
		for s.next(r) != nil {
			write(c, "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
		}
	})
	good := goodServer(t)
	c := httpclient.New(newHop(t, policy.Default(), busy.addr, good.addr, consultest.Addr(t)))
	ctx := onehop.With(t.Context(), onehop.Idempotent())
	const calls = 30
	for i := range calls {
		r, w := io.Pipe()
		go func() {
			io.WriteString(w, "whole ")               //nolint:errcheck // see the ledger
			io.WriteString(w, "body"+strconv.Itoa(i)) //nolint:errcheck // see the ledger
			w.Close()                                 //nolint:errcheck // always nil
		}()
		if status, _, err := send(ctx, c, "POST", "http://svc/", r); err != nil || status != 200 && status != 503 {
			t.Fatal(status, err)
		}
		what := "POST / whole body" + strconv.Itoa(i)
		if n := busy.requests.times(what) + good.requests.times(what); n != 1 {
			t.Errorf("body %d was executed %d times", i, n)
		}
	}
	if n := busy.requests.total() + good.requests.total(); n != calls {
		t.Errorf("%d requests for %d calls", n, calls)
	}
}

// Big bodies stream both ways; nothing of them is kept.
func TestBigBodiesStream(t *testing.T) {
	const size = 64 << 20
	addr := serve(t, func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		if err != nil || n != size {
			t.Errorf("the server read %d: %v", n, err)
		}
		w.Header().Set("Content-Length", strconv.Itoa(size))
		io.Copy(w, io.LimitReader(zeros{}, size)) //nolint:errcheck // the client counts
	})
	c := httpclient.New(newHop(t, policy.Default(), addr))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://svc/", io.LimitReader(zeros{}, size))
	if err != nil {
		t.Fatal(err)
	}
	req.ContentLength = size
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // read whole
	if n, err := io.Copy(io.Discard, resp.Body); err != nil || n != size {
		t.Errorf("the client read %d: %v", n, err)
	}
	runtime.ReadMemStats(&after)
	if d := after.TotalAlloc - before.TotalAlloc; d > 16<<20 {
		t.Errorf("%d MiB allocated for bodies of 64 MiB", d>>20)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

type brokenReader struct{}

var errReader = errors.New("the caller's own reader broke")

func (brokenReader) Read([]byte) (int, error) { return 0, errReader }

// A body that fails in the caller's hands is the caller's error, returned as it is, and no endpoint's fault.
func TestCallersReaderFails(t *testing.T) {
	good := goodServer(t)
	hop, decided := observed(t, policy.Default(), good.addr, goodServer(t).addr)
	c := httpclient.New(hop)
	for range 100 {
		_, _, err := send(t.Context(), c, "POST", "http://svc/", brokenReader{})
		if !errors.Is(err, errReader) || onehop.ReasonOf(err) != "" {
			t.Fatal(err)
		}
	}
	if n := decided.times("open"); n != 0 {
		t.Errorf("%d endpoints were opened", n)
	}
}

// again is a body that is neither in memory to net/http nor a file, and can be had again.
type again struct{ io.Reader }

// Attempts that race send a body each, whole.
func TestHedgesHaveTheirOwnBodies(t *testing.T) {
	var slow atomic.Bool
	server := func() *rawServer {
		return listenRaw(t, func(s *rawServer, c net.Conn, r *bufio.Reader) {
			for n := 0; s.next(r) != nil; n++ {
				if slow.Load() && n%2 == 0 {
					<-time.After(20 * time.Millisecond)
				}
				write(c, okAnswer)
			}
		})
	}
	one, two := server(), server()
	p := policy.Default()
	p.Hedge = 0.05
	hop, decided := observed(t, p, one.addr, two.addr)
	c := httpclient.New(hop)
	ctx := onehop.With(t.Context(), onehop.Idempotent())
	body := strings.Repeat("body ", 1000)
	for i := range 400 {
		slow.Store(i > 200)
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://svc/", again{strings.NewReader(body)})
		if err != nil {
			t.Fatal(err)
		}
		req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(again{strings.NewReader(body)}), nil }
		resp, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			t.Fatal(err)
		}
		resp.Body.Close() //nolint:errcheck // read whole
	}
	if decided.times("hedge") == 0 {
		t.Error("no hedge was made: nothing was tested")
	}
	whole := "POST / " + body
	if n := one.requests.total() + two.requests.total() - one.requests.times(whole) - two.requests.times(whole); n != 0 {
		t.Errorf("%d bodies were not whole", n)
	}
}

// net/http alone sends one GET nine times over eight idle connections that die under it.
func TestHiddenRetriesOverHTTP1(t *testing.T) {
	for _, most := range []int{1, 2, 3} {
		const idle = 8
		var dying atomic.Bool
		var together sync.WaitGroup
		together.Add(idle)
		s := listenRaw(t, func(s *rawServer, c net.Conn, r *bufio.Reader) {
			for s.next(r) != nil && !dying.Load() {
				together.Done()
				together.Wait() // so that each request has a connection of its own
				write(c, okAnswer)
			}
		})
		p := policy.Default()
		p.Retry.MaxAttempts = most
		c := httpclient.New(newHop(t, p, s.addr))
		var calls sync.WaitGroup
		for range idle {
			calls.Go(func() {
				if _, _, err := send(t.Context(), c, "GET", "http://svc/", nil); err != nil {
					t.Error(err)
				}
			})
		}
		calls.Wait()
		dying.Store(true)
		_, _, err := send(t.Context(), c, "GET", "http://svc/", nil)
		if n := s.requests.total() - idle; n < 1 || n > most || err == nil {
			t.Errorf("max_attempts %d: the server saw %d requests of one GET: %v", most, n, err)
		}
	}
}

// A POST on an idle connection that has gone is sent on another one, and executed once; no endpoint and no budget pays.
func TestPostOnStaleConnection(t *testing.T) {
	s := goodServer(t)
	var stale atomic.Bool
	base := &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		return &staleConn{Conn: conn, stale: &stale}, err
	}}
	c := httpclient.New(newHop(t, policy.Default(), s.addr), httpclient.WithTransport(base))
	for i := range 50 {
		for _, path := range []string{"/first", "/second"} {
			if _, _, err := send(t.Context(), c, "POST", "http://svc"+path, strings.NewReader(strconv.Itoa(i))); err != nil {
				t.Fatal(err)
			}
			what := "POST " + path + " " + strconv.Itoa(i)
			if n := s.requests.times(what); n != 1 {
				t.Errorf("executed %d times", n)
			}
			stale.Store(true) // the next write, on whichever connection, fails before a byte has left
		}
	}
}

// staleConn fails one write, once it has been used.
type staleConn struct {
	net.Conn
	stale *atomic.Bool
	used  bool // by one writer at a time
}

func (c *staleConn) Write(p []byte) (int, error) {
	if c.used && c.stale.CompareAndSwap(true, false) {
		c.Conn.Close() //nolint:errcheck // gone
		return 0, errors.New("gone")
	}
	c.used = true
	return c.Conn.Write(p)
}

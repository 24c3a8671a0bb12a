package faults

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/onehop-go/onehop/httpclient"
	"github.com/onehop-go/onehop/internal/consultest"
	"github.com/onehop-go/onehop/policy"
)

func TestRow33BurstOf5xx(t *testing.T) {
	t.Parallel()
	row(t, 33)
	servers := newServers(t, 3)
	web := webOf(t, static(t, policy.Default(), addrs(servers)))
	tr := drive(t, web, "http://pay/", 100)
	tr.more(300)
	for _, s := range servers {
		s.answer(http.StatusBadGateway) // 503 would bring on the brake
	}
	calls, attempts := tr.count(), wire(servers)
	tr.more(300)
	for _, s := range servers {
		s.answer(http.StatusOK)
	}
	burst, sent := tr.since(calls), wire(servers)-attempts
	tr.until("all is well again", func(all []outcome) bool { return all[len(all)-1].ok() })
	at := tr.count() + 20
	tr.more(100)
	all := tr.stop()
	after := all[at:]
	figuref(t, "%d attempts for %d calls in the burst: %.2f x", sent, len(burst), float64(sent)/float64(len(burst)))
	if most := len(burst) + 60; sent > most { // what 300 good answers earned, the floor of 10, and what was under way
		t.Errorf("%d attempts for %d calls; want at most %d", sent, len(burst), most)
	}
	for _, o := range burst {
		if o.err != nil {
			t.Fatalf("a 502 did not stay a 502: %v", o.err)
		}
	}
	if n := after.failed(); n != 0 {
		t.Errorf("%d of %d calls failed after the burst", n, len(after))
	}
}

// garbage is answers that are no HTTP, or HTTP that contradicts itself.
var garbage = map[string]string{
	"no HTTP":        "SSH-2.0-OpenSSH_9.9\r\n\r\n",
	"two lengths":    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 7\r\n\r\nhellooo",
	"bad length":     "HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\nhello",
	"negative":       "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
	"bad coding":     "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
	"two codings":    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
	"bad status":     "HTTP/1.1 2x0 OK\r\nContent-Length: 0\r\n\r\n",
	"NUL in a name":  "HTTP/1.1 200 OK\r\nX-\x00: 1\r\nContent-Length: 0\r\n\r\n",
	"no colon":       "HTTP/1.1 200 OK\r\nnothing\r\nContent-Length: 0\r\n\r\n",
	"endless header": "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 12<<20),
}

func TestRow34CorruptHTTP(t *testing.T) {
	t.Parallel()
	row(t, 34)
	reused := 0
	for name, answer := range garbage {
		var requests atomic.Int32
		bad := newRaw(t, func(c net.Conn) {
			r := bufio.NewReader(c)
			for {
				if _, err := http.ReadRequest(r); err != nil {
					return
				}
				requests.Add(1)
				if _, err := io.WriteString(c, answer); err != nil {
					return
				}
			}
		})
		web := webOf(t, static(t, policy.Default(), []string{bad.addr}))
		for range 3 {
			if o := get(t, web, "http://pay/"); o.ok() {
				t.Errorf("%s: taken for an answer: %d", name, o.status)
			}
		}
		if n := int(requests.Load()) - bad.accepted(); n > 0 {
			t.Errorf("%s: %d requests on connections that had spoken garbage", name, n)
			reused += n
		}
		good := newServer(t)
		web = webOf(t, static(t, policy.Default(), []string{bad.addr, good.addr}))
		for range 5 {
			if o := get(t, web, "http://pay/"); !o.ok() {
				t.Errorf("%s: beside a good endpoint: %v", name, o.err)
			}
		}
	}
	figuref(t, "%d kinds of garbage, %d connections used again", len(garbage), reused)
}

// An answer with Content-Length and chunks at once is framed by its chunks (RFC 9112 6.3): what follows is not taken for the
// next answer, and ends the connection. net/http drops it as soon as it looks, which is a moment after the answer's end.
func TestRow34LengthAndChunks(t *testing.T) {
	t.Parallel()
	row(t, 34)
	var first, dropped atomic.Bool
	bad := newRaw(t, func(c net.Conn) {
		r := bufio.NewReader(c)
		for {
			if _, err := http.ReadRequest(r); err != nil {
				dropped.Store(true)
				return
			}
			answer := "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nme"
			if first.CompareAndSwap(false, true) {
				answer = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n" +
					"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
			}
			if _, err := io.WriteString(c, answer); err != nil {
				return
			}
		}
	})
	web := webOf(t, static(t, policy.Default(), []string{bad.addr}))
	for i, want := range []string{"hello", "me", "me"} {
		resp, err := web.Get("http://pay/")
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if string(body) != want || err != nil {
			t.Errorf("answer %d is %q, %v; want %q", i, body, err, want)
		}
		if i == 0 {
			await(t, "the end of the connection", dropped.Load)
		}
	}
	figuref(t, "0 smuggled answers, %d connections for 3 requests", bad.accepted())
}

func TestRow39ResetInMidBody(t *testing.T) {
	t.Parallel()
	row(t, 39)
	servers := newServers(t, 3)
	for i, s := range servers {
		letter := bytes.Repeat([]byte{byte('a' + i)}, 64<<10)
		s.behave(func(w http.ResponseWriter, r *http.Request) {
			s.execute(r)
			w.Header().Set("Content-Length", fmt.Sprint(2*len(letter)))
			_, _ = w.Write(letter)
			if s == servers[0] {
				_ = http.NewResponseController(w).Flush()
				panic(http.ErrAbortHandler)
			}
			_, _ = w.Write(letter)
		})
	}
	web := webOf(t, static(t, policy.Default(), addrs(servers)))
	broken := 0
	for i := range 60 {
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://pay/", nil)
		req.Header.Set(consultest.CallIDHeader, fmt.Sprint("body-", i))
		resp, err := web.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil {
			broken++
		}
		if len(body) > 0 && len(bytes.Trim(body, string(body[:1]))) != 0 {
			t.Fatalf("body %d mixes two servers", i)
		}
		if err == nil && len(body) != 128<<10 {
			t.Errorf("body %d has %d bytes and no error", i, len(body))
		}
	}
	figuref(t, "%d of 60 bodies broke and said so, 0 mixed", broken)
	if broken == 0 {
		t.Error("no body broke")
	}
	if d := doubles(executions(servers)); d != 0 {
		t.Errorf("%d calls were executed twice", d)
	}
}

func TestRow43BodyThatCannotBeReplayed(t *testing.T) {
	t.Parallel()
	row(t, 43)
	servers := newServers(t, 2)
	var mu sync.Mutex
	var bodies []string
	for _, s := range servers {
		s.behave(func(w http.ResponseWriter, r *http.Request) {
			b, err := io.ReadAll(r.Body)
			mu.Lock()
			bodies = append(bodies, fmt.Sprintf("%d %v", len(b), err))
			mu.Unlock()
			w.WriteHeader(http.StatusServiceUnavailable)
		})
	}
	web := webOf(t, static(t, policy.Default(), addrs(servers)))
	for range 10 {
		r, w := io.Pipe()
		go func() { _, _ = io.WriteString(w, "hello"); _ = w.Close() }()
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://pay/", r)
		req.Header.Set("Idempotency-Key", "k") // may be repeated, were it not for the body
		resp, err := web.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("status %d; a 503 stays a 503", resp.StatusCode)
		}
	}
	figuref(t, "%d attempts on the wire for 10 calls", wire(servers))
	if n := wire(servers); n != 10 {
		t.Errorf("%d attempts on the wire; want 10", n)
	}
	for _, b := range bodies {
		if b != "5 <nil>" {
			t.Errorf("a server read %s", b)
		}
	}
}

// zeros is an endless body, without memory.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// Not parallel: it looks at the heap of the whole process.
func TestRow44GreatBodies(t *testing.T) {
	row(t, 44)
	size := int64(128 << 20)
	if long() {
		size = 1 << 30
	}
	s := newServer(t)
	s.behave(func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		w.Header().Set("X-Read", fmt.Sprint(n, err))
		_, _ = io.CopyN(w, zeros{}, size)
	})
	web := webOf(t, static(t, policy.Default(), []string{s.addr}))
	before := heap()
	var most atomic.Int64
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil {
			<-tick.C
			most.Store(max(most.Load(), inUse()))
		}
	})
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://pay/", io.LimitReader(zeros{}, size))
	req.ContentLength = size
	resp, err := web.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	n, err := io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	cancel()
	wg.Wait()
	if want := fmt.Sprint(size, nil); n != size || err != nil || resp.Header.Get("X-Read") != want {
		t.Errorf("sent %s of %d, got %d, %v", resp.Header.Get("X-Read"), size, n, err)
	}
	grown := float64(most.Load()-before) / (1 << 20)
	figuref(t, "heap %+.1f MiB at most while %d MiB went up and down", grown, size>>20)
	if grown > 16 {
		t.Errorf("the heap grew by %.1f MiB", grown)
	}
}

// failing is a body that breaks after some bytes.
type failing struct{ n int }

var errReader = errors.New("the caller's disk is full")

func (f *failing) Read(p []byte) (int, error) {
	if f.n == 0 {
		return 0, errReader
	}
	n := min(f.n, len(p))
	f.n -= n
	return n, nil
}

func TestRow62CallersOwnDoing(t *testing.T) {
	t.Parallel()
	row(t, 62)
	servers := newServers(t, 3)
	for _, s := range servers {
		s.behave(func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			if r.URL.Path == "/hang" {
				<-r.Context().Done()
			}
		})
	}
	var e eye
	p := policy.Default()
	p.ConnectTimeout = 10 * time.Second // a loaded machine may take its time: a dial that fails is no doing of the caller's
	web := webOf(t, static(t, p, addrs(servers), e.option()))
	for range 100 {
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://pay/", &failing{n: 1000})
		if _, err := web.Do(req); !errors.Is(err, errReader) {
			t.Fatalf("got %v; want the reader's own error", err)
		}
	}
	var wg sync.WaitGroup
	slots := make(chan struct{}, 50)
	for range 1000 {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			ctx, cancel := context.WithCancel(t.Context())
			go func() { time.Sleep(5 * time.Millisecond); cancel() }()
			if o := call(ctx, web, http.MethodGet, "http://pay/hang"); !errors.Is(o.err, context.Canceled) {
				t.Errorf("got %v; want canceled", o.err)
			}
		})
	}
	wg.Wait()
	figuref(t, "%d opened after 100 broken bodies and 1000 cancelled calls", len(e.openings()))
	if n := len(e.openings()); n != 0 {
		t.Errorf("%d endpoints were opened", n)
	}
}

// A server that closes what is idle for as long as the pause between two calls. Plain net/http is measured beside us: at
// the very moment of the close nobody can know.
func TestRow65IdleClosedUnderPOST(t *testing.T) {
	t.Parallel()
	row(t, 65)
	const idle = 20 * time.Millisecond
	n := 100
	if long() {
		n = 1000
	}
	ours := func(s *server) (*http.Client, string) {
		return webOf(t, static(t, policy.Default(), []string{s.addr})), "http://pay/"
	}
	plain := func(s *server) (*http.Client, string) {
		c := &http.Client{Transport: &http.Transport{}}
		t.Cleanup(c.CloseIdleConnections)
		return c, "http://" + s.addr + "/"
	}
	// lose sends n POSTs by each of some ways, beside each other: what disturbs one disturbs all.
	lose := func(wait func(), ways ...func(*server) (*http.Client, string)) (lost []int, twice int) {
		lost = make([]int, len(ways))
		var servers []*server
		var wg sync.WaitGroup
		for i, by := range ways {
			s := newIdleServer(t, idle)
			web, url := by(s)
			servers = append(servers, s)
			wg.Go(func() {
				for range n {
					if o := call(t.Context(), web, http.MethodPost, url); !o.ok() {
						lost[i]++
					}
					wait()
				}
			})
		}
		wg.Wait()
		return lost, doubles(executions(servers))
	}
	both, twice := lose(func() { time.Sleep(idle) }, ours, plain)
	lost, theirs := both[0], both[1]
	var last atomic.Pointer[noticed]
	watched := func(s *server) (*http.Client, string) {
		return webOf(t, static(t, policy.Default(), []string{s.addr}), httpclient.WithTransport(&http.Transport{DialContext: notice(&last)})), "http://pay/"
	}
	later, again := lose(func() { <-last.Load().ended }, watched)
	seen := later[0]
	figuref(t, "of %d POSTs at the moment of the close %d were lost (net/http alone: %d), after it was seen %d; %d doubled", n, lost, theirs, seen, twice+again)
	if twice+again != 0 {
		t.Errorf("%d POSTs were executed twice", twice+again)
	}
	if lost > theirs+n/4+25 { // seven sigma of a hundred
		t.Errorf("%d of %d POSTs were lost, net/http alone lost %d", lost, n, theirs)
	}
	if seen != 0 {
		t.Errorf("%d of %d POSTs were lost after the close was seen", seen, n)
	}
}

// noticed is a connection that tells when its user has seen its end: net/http closes it having marked it as broken, so that
// no request is given to it any more.
type noticed struct {
	net.Conn
	ended chan struct{}
	once  sync.Once
}

func (c *noticed) Close() error {
	c.once.Do(func() { close(c.ended) })
	return c.Conn.Close()
}

// notice dials, and keeps the last connection in last.
func notice(last *atomic.Pointer[noticed]) func(context.Context, string, string) (net.Conn, error) {
	dialer := &net.Dialer{}
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dialer.DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		n := &noticed{Conn: c, ended: make(chan struct{})}
		last.Store(n)
		return n, nil
	}
}

// fatal serves each connection's first request well, once so many connections have come, and dies having read the second.
func fatal(t *testing.T, conns int, requests *atomic.Int32) *raw {
	t.Helper()
	var all sync.WaitGroup
	all.Add(conns)
	return newRaw(t, func(c net.Conn) {
		r := bufio.NewReader(c)
		for i := 0; ; i++ {
			if _, err := http.ReadRequest(r); err != nil {
				return
			}
			requests.Add(1)
			if i == 1 {
				return
			}
			all.Done()
			all.Wait() // so that the warming calls need a connection each
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
	})
}

func TestRow74HiddenRetries(t *testing.T) {
	t.Parallel()
	row(t, 74)
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		var requests atomic.Int32
		s := fatal(t, 8, &requests)
		p := policy.Default()
		web := webOf(t, static(t, p, []string{s.addr}))
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() { get(t, web, "http://pay/") })
		}
		wg.Wait()
		warm := requests.Load()
		if s.accepted() != 8 || warm != 8 {
			t.Fatalf("%d connections, %d requests; want 8 of each", s.accepted(), warm)
		}
		o := call(t.Context(), web, method, "http://pay/")
		sent := int(requests.Load() - warm)
		figuref(t, "%s: %d on the wire (net/http alone: 9), err %v", method, sent, o.err != nil)
		most := p.Retry.MaxAttempts
		if method == http.MethodPost {
			most = 1
		}
		if sent > most {
			t.Errorf("%s: %d requests on the wire; want at most %d", method, sent, most)
		}
	}
}

// hidden is a connection whose end is not noticed before it is written to: the server has closed it, and the news is on
// its way.
type hidden struct {
	net.Conn
	closed chan struct{} // the server has closed
	wrote  chan struct{}
	once   sync.Once
}

func (h *hidden) Read(p []byte) (int, error) {
	n, err := h.Conn.Read(p)
	if err != nil {
		<-h.wrote
	}
	return n, err
}

func (h *hidden) Write(p []byte) (int, error) {
	select {
	case <-h.closed:
		h.once.Do(func() { close(h.wrote) })
		return 0, net.ErrClosed
	default:
		return h.Conn.Write(p)
	}
}

func (h *hidden) Close() error { h.once.Do(func() { close(h.wrote) }); return h.Conn.Close() }

func TestRow79POSTOnStaleConnection(t *testing.T) {
	t.Parallel()
	row(t, 79)
	s := newServer(t)
	var mu sync.Mutex
	var conns []*hidden
	dialer := &net.Dialer{}
	web := webOf(t, static(t, policy.Default(), []string{s.addr}), httpclient.WithTransport(&http.Transport{
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := dialer.DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			h := &hidden{Conn: c, closed: make(chan struct{}), wrote: make(chan struct{})}
			mu.Lock()
			conns = append(conns, h)
			mu.Unlock()
			return h, nil
		},
	}))
	for i := range 20 {
		if o := get(t, web, "http://pay/"); !o.ok() {
			t.Fatal(o.err)
		}
		mu.Lock()
		last := conns[len(conns)-1]
		mu.Unlock()
		select {
		case <-last.closed:
		default:
			close(last.closed)
		}
		o := call(t.Context(), web, http.MethodPost, "http://pay/")
		if !o.ok() {
			t.Errorf("POST %d on a stale connection: %v", i, o.err)
		}
		if n := executions([]*server{s})[o.id]; n != 1 {
			t.Errorf("POST %d was executed %d times", i, n)
		}
	}
	figuref(t, "20 POSTs on stale connections: each executed once, %d connections", len(conns))
}

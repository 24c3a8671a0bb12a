package httpclient_test

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/http/httptrace"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onehop-go/onehop"
	"github.com/onehop-go/onehop/httpclient"
	"github.com/onehop-go/onehop/internal/consultest"
	"github.com/onehop-go/onehop/policy"
	"github.com/onehop-go/onehop/resolver"
)

// The caller's request stays as it was through every retry, its body is closed, and the response carries it.
func TestRequestStaysTheCallers(t *testing.T) {
	var calls atomic.Int32
	var counts ledger
	addr := serve(t, func(w http.ResponseWriter, r *http.Request) {
		counts.add(r.Header.Get("X-Envoy-Attempt-Count"))
		if calls.Add(1) < 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	rt := httpclient.NewTransport(newHop(t, policy.Default(), addr))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://svc/path?q=1", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Mine", "1")
	before, header, link := *req, maps.Clone(req.Header), *req.URL
	resp, err := rt.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // empty
	if resp.Request != req || req.URL.String() != link.String() || !maps.EqualFunc(header, req.Header, equalValues) || req.Host != before.Host {
		t.Errorf("the request was changed: %+v", req)
	}
	if resp.StatusCode != http.StatusOK || counts.times("") != 1 || counts.times("2") != 1 || counts.times("3") != 1 {
		t.Errorf("%d; attempts told %v", resp.StatusCode, counts.seen)
	}
}

func equalValues(a, b []string) bool { return strings.Join(a, "\n") == strings.Join(b, "\n") }

// closingBody tells whether it was closed.
type closingBody struct {
	io.Reader
	closed atomic.Int32
}

func (c *closingBody) Close() error {
	c.closed.Add(1)
	return nil
}

// The body is closed on every way out, and exactly once.
func TestBodyIsAlwaysClosed(t *testing.T) {
	addr := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/read" {
			io.Copy(io.Discard, r.Body) //nolint:errcheck // the client knows
		}
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	closed := onehopClosed(t)
	for name, row := range map[string]struct {
		hop    *onehop.Client
		target string
	}{
		"answered":    {newHop(t, policy.Default(), addr), "http://svc/read"},
		"not read":    {newHop(t, policy.Default(), addr), "http://svc/"},
		"refused":     {newHop(t, policy.Default(), consultest.Addr(t)), "http://svc/"},
		"unknown":     {newHop(t, policy.Default(), addr), "http://nobody/"},
		"nil client":  {nil, "http://svc/"},
		"closed":      {closed, "http://svc/"},
		"bad header":  {newHop(t, policy.Default(), addr), "http://svc/bad"},
		"passed by":   {newHop(t, policy.Default(), addr), "http://127.0.0.1:1/"},
		"no such URL": {newHop(t, policy.Default(), addr), "gopher://svc/"},
	} {
		body := &closingBody{Reader: strings.NewReader("body")}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, row.target, body)
		if err != nil {
			t.Fatal(err)
		}
		if name == "bad header" {
			req.Header.Set("X-Bad", "a\nb")
		}
		rt := httpclient.NewTransport(row.hop)
		resp, err := rt.RoundTrip(req)
		if err == nil {
			resp.Body.Close() //nolint:errcheck // empty
		}
		cancel()
		eventually(t, func() bool { return body.closed.Load() > 0 })
		if n := body.closed.Load(); n != 1 {
			t.Errorf("%s: closed %d times: %v", name, n, err)
		}
		rt.CloseIdleConnections()
	}
}

func onehopClosed(t *testing.T) *onehop.Client {
	t.Helper()
	hop := hopOf(policy.Default(), "127.0.0.1:1")
	if err := hop.Close(); err != nil {
		t.Fatal(err)
	}
	return hop
}

// eventually waits for what another goroutine is about to do.
func eventually(t *testing.T, done func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-t.Context().Done():
			t.Fatal("it never came")
		}
	}
}

// Every refusal is an *onehop.Error that says why.
func TestErrors(t *testing.T) {
	addr := serve(t, func(http.ResponseWriter, *http.Request) {})
	for name, row := range map[string]struct {
		hop    *onehop.Client
		url    string
		reason onehop.Reason
		is     error
	}{
		"nil client": {nil, "http://svc/", onehop.ReasonInvalid, nil},
		"closed":     {onehopClosed(t), "http://svc/", onehop.ReasonClosed, nil},
		"no such":    {newHop(t, policy.Default(), addr), "http://nobody/", onehop.ReasonNoEndpoints, nil},
		"refused":    {newHop(t, policy.Default(), consultest.Addr(t)), "http://svc/", onehop.ReasonExhausted, syscall.ECONNREFUSED},
	} {
		_, _, err := send(t.Context(), httpclient.New(row.hop), "GET", row.url, nil)
		if onehop.ReasonOf(err) != row.reason || row.is != nil && !errors.Is(err, row.is) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Hosts that are no services go through the caller's own transport, untouched.
func TestPassThrough(t *testing.T) {
	addr := serve(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Host) }) //nolint:errcheck // read
	c := httpclient.New(newHop(t, policy.Default(), consultest.Addr(t)))
	defer c.CloseIdleConnections()
	if _, body, err := send(t.Context(), c, "GET", "http://"+addr+"/", nil); err != nil || body != addr {
		t.Errorf("%q %v", body, err)
	}
	base := &http.Transport{}
	base.RegisterProtocol("memory", http.NewFileTransport(http.Dir(".")))
	wrapped, err := httpclient.Wrap(&http.Client{Transport: base, Timeout: time.Minute}, newHop(t, policy.Default(), addr))
	if err != nil {
		t.Fatal(err)
	}
	if status, _, err := send(t.Context(), wrapped, "GET", "memory:///contract_test.go", nil); err != nil || status != 200 {
		t.Errorf("a protocol the base knows: %d %v", status, err)
	}
}

func TestWrapSaysWhatToDo(t *testing.T) {
	hop := newHop(t, policy.Default())
	_, err := httpclient.Wrap(&http.Client{Transport: stub{}}, hop)
	if err == nil || !strings.Contains(err.Error(), "NewTransport(httpclient.NewTransport(hop))") {
		t.Error(err)
	}
	if _, err := httpclient.Wrap(nil, hop); err == nil {
		t.Error("a nil client was wrapped")
	}
	c := &http.Client{Timeout: time.Second}
	if w, err := httpclient.Wrap(c, hop); err != nil || w == c || w.Timeout != time.Second || c.Transport != nil {
		t.Error(w, err)
	}
}

// Cookies and redirects are the logical host's.
func TestCookiesAndRedirects(t *testing.T) {
	addr := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/login" {
			http.SetCookie(w, &http.Cookie{Name: "session", Value: "1", Path: "/"})
			http.Redirect(w, r, "/home", http.StatusSeeOther)
			return
		}
		cookie, err := r.Cookie("session")
		if err != nil {
			t.Error(err)
			return
		}
		io.WriteString(w, r.Host+r.URL.Path+cookie.Value) //nolint:errcheck // the client reads it
	})
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	c, err := httpclient.Wrap(&http.Client{Jar: jar}, newHop(t, policy.Default(), addr))
	if err != nil {
		t.Fatal(err)
	}
	_, body, err := send(t.Context(), c, "POST", "http://svc/login", strings.NewReader("x"))
	if err != nil || body != "svc/home1" || len(jar.Cookies(&url.URL{Scheme: "http", Host: "svc"})) != 1 {
		t.Errorf("%q %v", body, err)
	}
}

// http.Client.Timeout of a wrapped client wins, and says that it was it.
func TestClientTimeoutWins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		base, stop := serveBubble(&http.Server{ErrorLog: quiet, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/body" {
				w.(http.Flusher).Flush() //nolint:forcetypeassert // a server's
			}
			<-r.Context().Done()
		})})
		hop := hopOf(policy.Default(), "10.0.0.1:80")
		c, err := httpclient.Wrap(&http.Client{Timeout: 30 * time.Millisecond, Transport: base}, hop)
		if err != nil {
			t.Fatal(err)
		}
		for range 20 {
			for _, path := range []string{"/", "/body"} {
				_, _, err := send(t.Context(), c, "GET", "http://svc"+path, nil)
				if err == nil || !strings.Contains(err.Error(), "Client.Timeout") || !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%s: %v", path, err)
				}
			}
		}
		hop.Close() //nolint:errcheck // always nil
		stop()
	})
}

// A 101's body can be written: WebSocket libraries and httputil.ReverseProxy need it.
func TestUpgrade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		base, stop := serveBubble(&http.Server{ErrorLog: quiet, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			c, rw, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close() //nolint:errcheck // a test's connection
			write(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
			io.Copy(c, rw) //nolint:errcheck // until the client hangs up
		})})
		p := policy.Default()
		p.Timeout, p.AttemptTimeout, p.IdleTimeout = 20*time.Millisecond, 10*time.Millisecond, 10*time.Millisecond
		hop := hopOf(p, "10.0.0.1:80")
		rt := httpclient.NewTransport(hop, httpclient.WithTransport(base))
		proxy, stopProxy := serveBubble(&http.Server{ErrorLog: quiet, Handler: &httputil.ReverseProxy{Transport: rt, Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: "svc"})
		}}})
		for name, rt := range map[string]http.RoundTripper{"alone": rt, "ReverseProxy": proxy} {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://svc/", nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Connection", "Upgrade")
			req.Header.Set("Upgrade", "echo")
			resp, err := rt.RoundTrip(req)
			if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
				t.Fatal(name, resp, err)
			}
			rwc, ok := resp.Body.(io.ReadWriteCloser)
			if !ok {
				t.Fatalf("%s: %T cannot be written", name, resp.Body)
			}
			for range 5 {
				write(rwc, "hello")
				b := make([]byte, 5)
				if _, err := io.ReadFull(rwc, b); err != nil || string(b) != "hello" {
					t.Error(name, string(b), err)
				}
				time.Sleep(2 * p.IdleTimeout) // clocks stop at the 101
			}
			rwc.Close() //nolint:errcheck // hanging up
		}
		hop.Close() //nolint:errcheck // always nil
		stopProxy()
		stop()
	})
}

// The caller's own httptrace hears what it hears from net/http.
func TestCallersTrace(t *testing.T) {
	addr := serve(t, func(http.ResponseWriter, *http.Request) {})
	c := httpclient.New(newHop(t, policy.Default(), addr))
	var heard ledger
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		GetConn:              func(string) { heard.add("GetConn") },
		GotConn:              func(httptrace.GotConnInfo) { heard.add("GotConn") },
		WroteHeaders:         func() { heard.add("WroteHeaders") },
		WroteRequest:         func(httptrace.WroteRequestInfo) { heard.add("WroteRequest") },
		GotFirstResponseByte: func() { heard.add("GotFirstResponseByte") },
		ConnectDone:          func(string, string, error) { heard.add("ConnectDone") },
	})
	if _, _, err := send(ctx, c, "GET", "http://svc/", nil); err != nil {
		t.Fatal(err)
	}
	for _, hook := range []string{"GetConn", "GotConn", "WroteHeaders", "WroteRequest", "GotFirstResponseByte", "ConnectDone"} {
		if heard.times(hook) != 1 {
			t.Errorf("%s was heard %d times", hook, heard.times(hook))
		}
	}
}

// Close ends calls in flight: those that wait for headers, for a body, for a connection.
func TestCloseEndsCalls(t *testing.T) {
	started := make(chan struct{}, 2)
	ended := make(chan struct{})
	addr := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/body" {
			w.(http.Flusher).Flush() //nolint:forcetypeassert // a server's
		}
		started <- struct{}{}
		<-ended
	})
	defer close(ended)
	hop := hopOf(policy.Default(), addr)
	c := httpclient.New(hop)
	errs := map[string]chan error{"/headers": make(chan error, 1), "/body": make(chan error, 1)}
	for path, result := range errs {
		go func() {
			_, _, err := send(t.Context(), c, "GET", "http://svc"+path, nil)
			result <- err
		}()
	}
	<-started
	<-started
	if err := hop.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-errs["/headers"]; onehop.ReasonOf(err) != onehop.ReasonClosed {
		t.Errorf("waiting for headers: %v", err)
	}
	if err := <-errs["/body"]; err == nil {
		t.Error("a body survived")
	}
	if _, _, err := send(t.Context(), c, "GET", "http://svc/", nil); onehop.ReasonOf(err) != onehop.ReasonClosed {
		t.Errorf("after Close: %v", err)
	}
}

// changing is a resolver whose set a test changes.
type changing chan []resolver.Endpoint

func (c changing) Watch(ctx context.Context, _ resolver.Target, publish func(resolver.Snapshot, error)) {
	for {
		select {
		case set := <-c:
			publish(resolver.Snapshot{Endpoints: set}, nil)
		case <-ctx.Done():
			return
		}
	}
}

// An endpoint that leaves drains: no new calls, idle connections closed, and a body under way is read to its end.
func TestRemovedEndpointDrains(t *testing.T) {
	more := make(chan struct{})
	old := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "first ") //nolint:errcheck // the client reads it
		w.(http.Flusher).Flush()    //nolint:forcetypeassert // a server's
		if r.URL.Path == "/long" {
			<-more
		}
		io.WriteString(w, "last") //nolint:errcheck // the client reads it
	}))
	defer old.Close()
	addr := serve(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "new") }) //nolint:errcheck // read
	sets := make(changing)
	hop, err := onehop.New(onehop.WithResolver(sets), onehop.WithPolicies(policy.Static{}))
	if err != nil {
		t.Fatal(err)
	}
	defer hop.Close() //nolint:errcheck // always nil
	c := httpclient.New(hop)
	go func() { sets <- []resolver.Endpoint{{Addr: strings.TrimPrefix(old.URL, "http://")}} }()
	if _, body, err := send(t.Context(), c, "GET", "http://svc/", nil); err != nil || body != "first last" {
		t.Fatal(body, err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://svc/long", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // read whole
	sets <- []resolver.Endpoint{{Addr: addr}}
	eventually(t, func() bool {
		_, body, err := send(t.Context(), c, "GET", "http://svc/", nil)
		return err == nil && body == "new"
	})
	close(more)
	if b, err := io.ReadAll(resp.Body); err != nil || string(b) != "first last" {
		t.Errorf("%q %v", b, err)
	}
	old.Config.SetKeepAlivesEnabled(true)
	for range 20 {
		if _, body, err := send(t.Context(), c, "GET", "http://svc/", nil); err != nil || body != "new" {
			t.Fatal(body, err)
		}
	}
}

// A classifier's word goes before the default's.
func TestClassifier(t *testing.T) {
	for _, row := range []struct {
		status  int
		outcome onehop.Outcome
		calls   int32
	}{
		{503, "", 3}, {503, onehop.OutcomeOK, 1}, {503, onehop.OutcomeFailed, 1},
		{200, "", 1}, {200, onehop.OutcomeOverloaded, 3}, {404, onehop.OutcomeFailed, 1}, {200, "nonsense", 1},
	} {
		var calls atomic.Int32
		addr := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			calls.Add(1)
			w.WriteHeader(row.status)
		})
		c := httpclient.New(newHop(t, policy.Default(), addr), httpclient.WithClassifier(func(*http.Response, error) onehop.Outcome {
			return row.outcome
		}))
		if status, _, err := send(t.Context(), c, "GET", "http://svc/", nil); err != nil || status != row.status || calls.Load() != row.calls {
			t.Errorf("%d judged %q: %d %v after %d attempts", row.status, row.outcome, status, err, calls.Load())
		}
	}
}

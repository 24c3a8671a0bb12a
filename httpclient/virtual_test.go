package httpclient_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onehop-go/onehop"
	"github.com/onehop-go/onehop/httpclient"
	"github.com/onehop-go/onehop/policy"
	"github.com/onehop-go/onehop/resolver"
)

// inBubble runs a client against handler in virtual time, over one endpoint and a network in memory.
func inBubble(t *testing.T, p policy.Policy, s *http.Server, f func(t *testing.T, c *http.Client, hop *onehop.Client)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s.ErrorLog = quiet
		base, stop := serveBubble(s)
		hop := hopOf(p, "10.0.0.1:80")
		f(t, httpclient.New(hop, httpclient.WithTransport(base)), hop)
		hop.Close() //nolint:errcheck // always nil
		stop()
	})
}

// A long poll, an hour of events and a slow upload live under the default policy: one attempt each, and nothing cut.
func TestLongCallsLive(t *testing.T) {
	var attempts atomic.Int32
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		attempts.Add(1)
		switch r.URL.Path {
		case "/poll":
			time.Sleep(90 * time.Second)
			io.WriteString(w, "news") //nolint:errcheck // the client reads it
		case "/events":
			for range 60 {
				io.WriteString(w, "data: tick\n\n") //nolint:errcheck // the client reads it
				w.(http.Flusher).Flush()            //nolint:forcetypeassert // a server's
				time.Sleep(10 * time.Second)
			}
		case "/upload":
			n, err := io.Copy(io.Discard, r.Body)
			io.WriteString(w, strconv.FormatInt(n, 10)) //nolint:errcheck // the client reads it
			if err != nil {
				t.Error(err)
			}
		}
	})}
	inBubble(t, policy.Default(), s, func(t *testing.T, c *http.Client, _ *onehop.Client) {
		t.Helper()
		if _, body, err := send(t.Context(), c, "GET", "http://svc/poll", nil); err != nil || body != "news" {
			t.Errorf("long poll: %q %v", body, err)
		}
		if _, body, err := send(t.Context(), c, "GET", "http://svc/events", nil); err != nil || strings.Count(body, "tick") != 60 {
			t.Errorf("events: %d %v", strings.Count(body, "tick"), err)
		}
		upload := &slowly{left: 1024, pause: time.Second}
		if _, body, err := send(t.Context(), c, "PUT", "http://svc/upload", upload); err != nil || body != strconv.Itoa(1024*len(piece)) {
			t.Errorf("upload: %q %v", body, err)
		}
	})
	if n := attempts.Load(); n != 3 {
		t.Errorf("%d attempts for 3 calls", n)
	}
}

var piece = strings.Repeat("x", 4096)

// slowly gives a piece after each pause.
type slowly struct {
	left  int
	pause time.Duration
}

func (s *slowly) Read(p []byte) (int, error) {
	if s.left == 0 {
		return 0, io.EOF
	}
	s.left--
	time.Sleep(s.pause)
	return copy(p, piece), nil
}

// A cancelled call returns at once, from the wait for headers, from a backoff and from a body; no endpoint pays for it.
func TestCancel(t *testing.T) {
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/headers":
			<-r.Context().Done()
		case "/backoff":
			w.WriteHeader(http.StatusServiceUnavailable)
		case "/body":
			w.WriteHeader(http.StatusOK)
			w.(http.Flusher).Flush() //nolint:forcetypeassert // a server's
			<-r.Context().Done()
		}
	})}
	p := policy.Default()
	p.Retry.Backoff = policy.Backoff{Initial: time.Hour, Max: time.Hour, Multiplier: 1}
	inBubble(t, p, s, func(t *testing.T, c *http.Client, _ *onehop.Client) {
		t.Helper()
		for _, path := range []string{"/headers", "/backoff", "/body"} {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Minute, cancel)
			start := time.Now()
			_, _, err := send(ctx, c, "GET", "http://svc"+path, nil)
			if d := time.Since(start); !errors.Is(err, context.Canceled) || d != time.Minute {
				t.Errorf("%s: after %v: %v", path, d, err)
			}
			if reason := onehop.ReasonOf(err); path != "/body" && reason != onehop.ReasonCanceled {
				t.Errorf("%s: %v", path, reason)
			}
		}
	})
}

// A thousand cancelled calls open nothing.
func TestCancelsOpenNothing(t *testing.T) {
	s := &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }), ErrorLog: quiet}
	synctest.Test(t, func(t *testing.T) {
		base, stop := serveBubble(s)
		var decided ledger
		hop, err := onehop.New(
			onehop.WithResolver(resolver.Static{"svc": {"10.0.0.1:80", "10.0.0.2:80"}}), onehop.WithPolicies(policy.Static{}),
			onehop.WithObserver(onehop.Observer{Decided: func(_ context.Context, d onehop.Decision) { decided.add(d.Action) }}))
		if err != nil {
			t.Fatal(err)
		}
		c := httpclient.New(hop, httpclient.WithTransport(base))
		var calls sync.WaitGroup
		for range 1000 {
			calls.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
				defer cancel()
				if _, _, err := send(ctx, c, "GET", "http://svc/", nil); !errors.Is(err, context.DeadlineExceeded) {
					t.Error(err)
				}
			})
		}
		calls.Wait()
		if n := decided.times("open"); n != 0 {
			t.Errorf("%d endpoints were opened", n)
		}
		hop.Close() //nolint:errcheck // always nil
		stop()
	})
}

// The server closes idle connections after 5 s, and a POST comes every few seconds: none is doubled, and none is lost but
// at the very moment of the closing, where nobody can know.
func TestServerClosesIdleConnections(t *testing.T) {
	for _, every := range []time.Duration{4 * time.Second, 5 * time.Second, 6 * time.Second} {
		var seen ledger
		s := &http.Server{IdleTimeout: 5 * time.Second, Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			b, _ := io.ReadAll(r.Body)
			seen.add(string(b))
		})}
		inBubble(t, policy.Default(), s, func(t *testing.T, c *http.Client, _ *onehop.Client) {
			t.Helper()
			for i := range 100 {
				_, _, err := send(t.Context(), c, "POST", "http://svc/", strings.NewReader(strconv.Itoa(i)))
				switch n := seen.times(strconv.Itoa(i)); {
				case n > 1:
					t.Errorf("every %v: POST %d was executed %d times", every, i, n)
				case err != nil && every != 5*time.Second, n == 0 && err == nil:
					t.Errorf("every %v: POST %d was executed %d times: %v", every, i, n, err)
				case err != nil && onehop.ReasonOf(err) != onehop.ReasonUnsafe:
					t.Errorf("every %v: POST %d: %v", every, i, err)
				}
				time.Sleep(every)
			}
		})
	}
}

// idle_timeout ends a body that stalls, says so to its reader, and leaves a slow reader and a long body alone.
func TestIdleTimeout(t *testing.T) {
	const idle = time.Second
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for i := range 20 {
			io.WriteString(w, "piece ") //nolint:errcheck // the client reads it
			w.(http.Flusher).Flush()    //nolint:forcetypeassert // a server's
			if r.URL.Path == "/stall" && i == 2 {
				<-r.Context().Done()
				return
			}
			time.Sleep(idle * 9 / 10)
		}
	})}
	p := policy.Default()
	p.IdleTimeout = idle
	inBubble(t, p, s, func(t *testing.T, c *http.Client, _ *onehop.Client) {
		t.Helper()
		start := time.Now()
		_, body, err := send(t.Context(), c, "GET", "http://svc/stall", nil)
		stalled := time.Since(start) - 2*idle*9/10
		var timeout net.Error
		if body != strings.Repeat("piece ", 3) || !errors.As(err, &timeout) || !timeout.Timeout() || stalled < idle || stalled > 2*idle {
			t.Errorf("a stalled body: %q after %v: %v", body, stalled, err)
		}
		if _, body, err := send(t.Context(), c, "GET", "http://svc/long", nil); err != nil || strings.Count(body, "piece") != 20 {
			t.Errorf("a long body: %q %v", body, err)
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
		time.Sleep(100 * idle)  // the reader's own pause
		if body, err := io.ReadAll(resp.Body); err != nil || strings.Count(string(body), "piece") != 20 {
			t.Errorf("a slow reader: %q %v", body, err)
		}
	})
}

// idle_timeout ends an upload that the server does not read, too, and leaves a slow source alone.
func TestIdleTimeoutOfAnUpload(t *testing.T) {
	s := &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/stall" {
			time.Sleep(time.Minute) // a server that does not read does not see the client go
			return
		}
		io.Copy(io.Discard, r.Body) //nolint:errcheck // the client knows
	})}
	p := policy.Default()
	p.IdleTimeout = time.Second
	inBubble(t, p, s, func(t *testing.T, c *http.Client, _ *onehop.Client) {
		t.Helper()
		start := time.Now()
		_, _, err := send(t.Context(), c, "PUT", "http://svc/stall", io.LimitReader(zeros{}, 1<<30))
		if d := time.Since(start); !errors.Is(err, context.DeadlineExceeded) || d < time.Second || d > 2*time.Second {
			t.Errorf("a stalled upload: after %v: %v", d, err)
		}
		if _, _, err := send(t.Context(), c, "PUT", "http://svc/", &slowly{left: 10, pause: time.Minute}); err != nil {
			t.Errorf("a slow source: %v", err)
		}
	})
}

// timeout bounds a call to its headers, attempt_timeout each attempt from the request written; bodies may take longer.
func TestTimeouts(t *testing.T) {
	var attempts atomic.Int32
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		attempts.Add(1)
		io.Copy(io.Discard, r.Body) //nolint:errcheck // the client knows
		if r.URL.Path == "/body" {
			w.(http.Flusher).Flush() //nolint:forcetypeassert // a server's
			time.Sleep(time.Minute)
			io.WriteString(w, "late") //nolint:errcheck // the client reads it
			return
		}
		select {
		case <-time.After(time.Minute):
		case <-r.Context().Done():
		}
	})
	for _, row := range []struct {
		name                    string
		timeout, attempt, least time.Duration
		most                    time.Duration
		path                    string
		attempts                int32
		reason                  onehop.Reason
	}{
		{"timeout", time.Second, 0, time.Second, time.Second, "/", 1, onehop.ReasonDeadline},
		{"attempt_timeout", 0, 100 * time.Millisecond, 300 * time.Millisecond, 500 * time.Millisecond, "/", 3, onehop.ReasonExhausted},
		{"both: the last gets what remains", time.Second, 100 * time.Millisecond, time.Second, time.Second, "/", 3, onehop.ReasonDeadline},
		{"a body is not timed", time.Second, 100 * time.Millisecond, time.Minute, time.Minute, "/body", 1, ""},
	} {
		p := policy.Default()
		p.Timeout, p.AttemptTimeout = row.timeout, row.attempt
		attempts.Store(0)
		inBubble(t, p, &http.Server{Handler: handler}, func(t *testing.T, c *http.Client, _ *onehop.Client) {
			t.Helper()
			start := time.Now()
			_, _, err := send(t.Context(), c, "GET", "http://svc"+row.path, nil)
			if d := time.Since(start); d < row.least || d > row.most {
				t.Errorf("%s: after %v: %v", row.name, d, err)
			}
			if n := attempts.Load(); n != row.attempts || onehop.ReasonOf(err) != row.reason {
				t.Errorf("%s: %d attempts: %v", row.name, n, err)
			}
			if err != nil && !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: no timeout to errors.Is: %v", row.name, err)
			}
		})
	}
}

// connect_timeout covers the dial and the TLS handshake; a call moves on, whatever its method, since nothing was sent.
func TestConnectTimeout(t *testing.T) {
	for _, scheme := range []string{"http", "https"} {
		synctest.Test(t, func(t *testing.T) {
			dialed := &ledger{}
			base := &http.Transport{DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
				dialed.add(addr)
				if scheme == "http" {
					<-ctx.Done()
					return nil, ctx.Err()
				}
				client, server := net.Pipe()   // connects, and never shakes hands
				go io.Copy(io.Discard, server) //nolint:errcheck // ends with the client's end
				return client, nil
			}}
			p := policy.Default()
			p.ConnectTimeout = time.Second
			hop := hopOf(p, "10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80")
			c := httpclient.New(hop, httpclient.WithTransport(base))
			start := time.Now()
			_, _, err := send(t.Context(), c, "POST", scheme+"://svc/", strings.NewReader("x"))
			if d := time.Since(start); err == nil || d < 3*time.Second {
				t.Errorf("%s: after %v: %v", scheme, d, err)
			}
			for _, addr := range []string{"10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"} {
				if dialed.times(addr) == 0 {
					t.Errorf("%s: %s was never tried: %v", scheme, addr, err)
				}
			}
			hop.Close() //nolint:errcheck // always nil
		})
	}
}

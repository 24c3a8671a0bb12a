package httpclient_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/onehop-go/onehop"
	"github.com/onehop-go/onehop/httpclient"
	"github.com/onehop-go/onehop/policy"
	"github.com/onehop-go/onehop/resolver"
)

// framed is an HTTP/2 server without TLS, frame by frame: answer is given each stream whose request has come whole, the
// number of those on its connection, and the data it came with last.
func framed(t *testing.T, answer func(f *http2.Framer, stream uint32, n int, data []byte) error) *rawServer {
	t.Helper()
	return listenRaw(t, func(s *rawServer, c net.Conn, r *bufio.Reader) {
		if _, err := io.CopyN(io.Discard, r, int64(len(http2.ClientPreface))); err != nil {
			return
		}
		f := http2.NewFramer(c, r)
		if f.WriteSettings() != nil {
			return
		}
		for n := 0; ; {
			frame, err := f.ReadFrame()
			if err != nil {
				return
			}
			if settings, ok := frame.(*http2.SettingsFrame); ok && !settings.IsAck() {
				err = f.WriteSettingsAck()
			}
			if ends, ok := frame.(interface{ StreamEnded() bool }); ok && ends.StreamEnded() {
				s.requests.add("executed")
				var data []byte
				if d, ok := frame.(*http2.DataFrame); ok {
					data = d.Data()
				}
				n++
				err = answer(f, frame.Header().StreamID, n, data)
			}
			if err != nil {
				return
			}
		}
	})
}

// resetting executes each request and then resets its stream.
func resetting(t *testing.T, code http2.ErrCode) *rawServer {
	t.Helper()
	return framed(t, func(f *http2.Framer, stream uint32, _ int, _ []byte) error { return f.WriteRSTStream(stream, code) })
}

// net/http sends a POST again by itself, without end, when its stream is reset with PROTOCOL_ERROR after it was executed.
func TestHiddenRetriesOverHTTP2(t *testing.T) {
	for _, code := range []http2.ErrCode{http2.ErrCodeProtocol, http2.ErrCodeRefusedStream, http2.ErrCodeInternal} {
		s := resetting(t, code)
		c := httpclient.New(newHop(t, policy.Default(), s.addr), httpclient.WithTransport(priorKnowledge()))

		_, _, err := send(t.Context(), c, "POST", "http://svc/", nil)
		if n := s.requests.total(); n != 1 || onehop.ReasonOf(err) != onehop.ReasonUnsafe {
			t.Errorf("%v: a POST was executed %d times: %v", code, n, err)
		}
		before := s.requests.total()
		_, _, err = send(t.Context(), c, "POST", "http://svc/", strings.NewReader("book"))
		want, why := 1, onehop.ReasonUnsafe
		if code == http2.ErrCodeRefusedStream { // the server's word that it was not executed
			want, why = policy.Default().Retry.MaxAttempts, onehop.ReasonExhausted
		}
		if n := s.requests.total() - before; n != want || onehop.ReasonOf(err) != why {
			t.Errorf("%v: a POST with a body was sent %d times: %v", code, n, err)
		}
		if err != nil && strings.Contains(err.Error(), "GetBody") {
			t.Errorf("%v: the caller is told to set what is set: %v", code, err)
		}
		before = s.requests.total()
		_, _, err = send(t.Context(), c, "GET", "http://svc/", nil)
		if n := s.requests.total() - before; n != policy.Default().Retry.MaxAttempts || err == nil {
			t.Errorf("%v: a GET was executed %d times: %v", code, n, err)
		}
	}
}

func priorKnowledge() *http.Transport {
	base := &http.Transport{Protocols: &http.Protocols{}}
	base.Protocols.SetUnencryptedHTTP2(true)
	return base
}

// The server answers with what came as the body, and sends each eighth request of a connection back unread.
func TestUnreadOverHTTP2(t *testing.T) {
	for name, refuse := range map[string]func(*http2.Framer, uint32) error{
		"REFUSED_STREAM": func(f *http2.Framer, id uint32) error { return f.WriteRSTStream(id, http2.ErrCodeRefusedStream) },
		"GOAWAY":         func(f *http2.Framer, id uint32) error { return f.WriteGoAway(id-2, http2.ErrCodeNo, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			s := framed(t, func(f *http2.Framer, stream uint32, n int, data []byte) error {
				if n%8 == 0 {
					return refuse(f, stream)
				}
				var head bytes.Buffer
				if err := hpack.NewEncoder(&head).WriteField(hpack.HeaderField{Name: ":status", Value: "200"}); err != nil {
					return err
				}
				err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: head.Bytes(), EndHeaders: true})
				return errors.Join(err, f.WriteData(stream, true, data))
			})
			c := httpclient.New(newHop(t, policy.Default(), s.addr), httpclient.WithTransport(priorKnowledge()))
			for range 50 {
				status, got, err := send(t.Context(), c, "POST", "http://svc/", strings.NewReader("book"))
				if err != nil || status != 200 || got != "book" {
					t.Fatalf("%d %q %v", status, got, err)
				}
			}
			if n := s.requests.total(); n <= 50 {
				t.Errorf("%d requests came: none was sent back", n)
			}
		})
	}
}

// tlsServer answers with what it saw: protocol, TLS name, Host. Its certificate is for example.com.
func tlsServer(t *testing.T) (addr string, roots *x509.CertPool, requests *ledger) {
	t.Helper()
	requests = &ledger{}
	ts := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.add(r.URL.Path)
		io.WriteString(w, r.Proto+" "+r.TLS.ServerName+" of "+r.Host) //nolint:errcheck // the client reads it
	}))
	ts.EnableHTTP2 = true
	ts.Config.ErrorLog = quiet
	ts.StartTLS()
	t.Cleanup(ts.Close)
	roots = x509.NewCertPool()
	roots.AddCert(ts.Certificate())
	return strings.TrimPrefix(ts.URL, "https://"), roots, requests
}

func asService(string) (resolver.Target, bool) { return resolver.Target{Service: "svc"}, true }

// The TLS name, the Host and the verification are those of the logical host, over HTTP/2 by ALPN, whatever the base dials by.
func TestTLSUnderTheLogicalName(t *testing.T) {
	addr, roots, _ := tlsServer(t)
	config := func() *tls.Config { return &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12} }
	plain := func(_ context.Context, network, addr string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(context.Background(), network, addr)
	}
	bases := map[string]*http.Transport{
		"settings alone": {TLSClientConfig: config()},
		"DialContext":    {TLSClientConfig: config(), DialContext: plain},
		"Dial": {TLSClientConfig: config(), Dial: func(network, addr string) (net.Conn, error) {
			return plain(context.Background(), network, addr)
		}},
		"DialTLSContext": {DialTLSContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			c := config()
			c.ServerName, c.NextProtos = "example.com", []string{"h2", "http/1.1"}
			return (&tls.Dialer{Config: c}).DialContext(ctx, network, addr)
		}},
		"http2.ConfigureTransport": {TLSClientConfig: config()},
		"HTTP/2 off":               {TLSClientConfig: config(), TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{}},
	}
	if err := http2.ConfigureTransport(bases["http2.ConfigureTransport"]); err != nil { //nolint:staticcheck // deprecated, and in use: it is what is tested
		t.Fatal(err)
	}
	const names = "example.com of " + "example.com"
	for name, base := range bases {
		c := httpclient.New(newHop(t, policy.Default(), addr), httpclient.WithTransport(base), httpclient.WithHosts(asService))
		want := "HTTP/2.0 " + names
		if name == "HTTP/2 off" {
			want = "HTTP/1.1 " + names
		}
		if _, got, err := send(t.Context(), c, "GET", "https://example.com/", nil); err != nil || got != want {
			t.Errorf("%s: %q %v", name, got, err)
		}
		base.CloseIdleConnections()
	}
}

// A certificate for another name fails the call before a byte of the request has left.
func TestWrongCertificate(t *testing.T) {
	addr, roots, requests := tlsServer(t)
	base := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
	c := httpclient.New(newHop(t, policy.Default(), addr), httpclient.WithTransport(base), httpclient.WithHosts(asService))
	_, _, err := send(t.Context(), c, "POST", "https://other.example/", strings.NewReader("secret"))
	var verification *tls.CertificateVerificationError
	if !asError(err, &verification) || requests.total() != 0 {
		t.Errorf("%v; %d requests", err, requests.total())
	}
}

// Two endpoints never share a connection pool, not even with a base that http2.ConfigureTransport went over.
func TestPoolsAreSeparate(t *testing.T) {
	one, roots, first := tlsServer(t)
	two, more, second := tlsServer(t)
	_ = more // the same certificate
	base := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
	if err := http2.ConfigureTransport(base); err != nil { //nolint:staticcheck // deprecated, and in use: it is what is tested
		t.Fatal(err)
	}
	p := policy.Default()
	p.LoadBalancing.Algorithm = policy.RoundRobin
	c := httpclient.New(newHop(t, p, one, two), httpclient.WithTransport(base), httpclient.WithHosts(asService))
	for range 30 {
		if _, _, err := send(t.Context(), c, "GET", "https://example.com/", nil); err != nil {
			t.Fatal(err)
		}
	}
	if a, b := first.total(), second.total(); a != 15 || b != 15 {
		t.Errorf("%d and %d of 30", a, b)
	}
}

// Endpoints, and clients of one base, do not write to what they share at their first calls; -race would tell.
func TestFirstCallsOverHTTP2AloneDoNotRace(t *testing.T) {
	base := priorKnowledge()
	base.Protocols.SetHTTP2(true)
	var addrs []string
	for range 4 {
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		s.Config.Protocols = base.Protocols
		s.Start()
		t.Cleanup(s.Close)
		addrs = append(addrs, s.Listener.Addr().String())
	}
	p := policy.Default()
	p.LoadBalancing.Algorithm = policy.RoundRobin
	hop := newHop(t, p, addrs...)
	var calls sync.WaitGroup
	for range 2 {
		c := httpclient.New(hop, httpclient.WithTransport(base))
		for range addrs {
			calls.Go(func() {
				if status, _, err := send(t.Context(), c, "GET", "http://svc/", nil); err != nil || status != http.StatusOK {
					t.Errorf("%d %v", status, err)
				}
			})
		}
	}
	calls.Wait()
}

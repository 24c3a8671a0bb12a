package httpclient_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/onehop-go/onehop"
	"github.com/onehop-go/onehop/httpclient"
	"github.com/onehop-go/onehop/policy"
	"github.com/onehop-go/onehop/resolver"
)

// newHop is a Client without Consul: service "svc" at the addresses, with policy p.
func newHop(tb testing.TB, p policy.Policy, addrs ...string) *onehop.Client {
	tb.Helper()
	hop, err := onehop.New(onehop.WithResolver(resolver.Static{"svc": addrs}), onehop.WithPolicies(policy.Static{"svc": p}))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := hop.Close(); err != nil {
			tb.Error(err)
		}
	})
	return hop
}

func serve(tb testing.TB, h http.HandlerFunc) string {
	tb.Helper()
	ts := httptest.NewServer(h)
	tb.Cleanup(ts.Close)
	return strings.TrimPrefix(ts.URL, "http://")
}

func get(t *testing.T, c *http.Client, url string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // a test reads it all
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func TestGet(t *testing.T) {
	addr := serve(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Host, r.URL) })
	c := httpclient.New(newHop(t, policy.Default(), addr))
	if status, body := get(t, c, "http://svc/a?b=c"); status != 200 || body != "svc/a?b=c" {
		t.Errorf("%d %q", status, body)
	}
}

// stub answers every request at once, as net/http's Transport would: with a body of its own.
type stub struct{}

func (stub) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r, Header: http.Header{},
		ContentLength: 2, Body: io.NopCloser(strings.NewReader("ok")),
	}, nil
}

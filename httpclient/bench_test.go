package httpclient_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/onehop-go/onehop/httpclient"
	"github.com/onehop-go/onehop/policy"
)

// stub answers every request at once, as net/http's Transport would: with a body of its own.
type stub struct{}

func (stub) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r, Header: http.Header{},
		ContentLength: 2, Body: io.NopCloser(strings.NewReader("ok")),
	}, nil
}

func overStub(http.RoundTripper) http.RoundTripper { return stub{} }

// BenchmarkCall is the price of one call on a transport that costs nothing: a bare http.Client, the same under a deadline,
// and onehop. cpu-ns/op is the process's, by getrusage: where cores are shared, wall time is mostly noise.
func BenchmarkCall(b *testing.B) {
	bare := &http.Client{Transport: stub{}}
	timed := policy.Default()
	timed.Timeout, timed.AttemptTimeout = time.Second, 100*time.Millisecond
	for _, bm := range []struct {
		name    string
		client  *http.Client
		timeout time.Duration
		cancel  bool
	}{
		{"bare", bare, 0, false},
		{"bare/WithTimeout", bare, time.Second, false},
		{"onehop/default", overhead(b, policy.Default()), 0, false},
		{"onehop/default/WithCancel", overhead(b, policy.Default()), 0, true},
		{"onehop/timeouts", overhead(b, timed), 0, false},
	} {
		b.Run(bm.name, func(b *testing.B) {
			b.ReportAllocs()
			req, err := http.NewRequest(http.MethodGet, "http://svc/", nil) //nolint:noctx // the context is what is measured
			if err != nil {
				b.Fatal(err)
			}
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			if bm.cancel {
				req = req.WithContext(ctx)
			}
			before := cpuTime()
			for b.Loop() {
				callOnce(b, bm.client, req, bm.timeout)
			}
			b.ReportMetric(float64(cpuTime()-before)/float64(b.N), "cpu-ns/op")
		})
	}
}

func overhead(b *testing.B, p policy.Policy) *http.Client {
	return httpclient.New(newHop(b, p, "127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"), httpclient.WithMiddleware(overStub))
}

func callOnce(b *testing.B, c *http.Client, req *http.Request, timeout time.Duration) {
	if timeout > 0 {
		ctx, cancel := context.WithTimeout(req.Context(), timeout)
		defer cancel()
		req = req.WithContext(ctx)
	}
	resp, err := c.Do(req)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		b.Fatal(err)
	}
	resp.Body.Close() //nolint:errcheck // a string
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

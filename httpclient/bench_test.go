//go:build unix

package httpclient_test

import (
	"context"
	"io"
	"net/http"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/onehop-go/onehop/httpclient"
	"github.com/onehop-go/onehop/policy"
)

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
			req, err := http.NewRequest(http.MethodGet, "http://svc/", nil)
			if err != nil {
				b.Fatal(err)
			}
			ctx, cancel := context.WithCancel(b.Context())
			defer cancel()
			if bm.cancel {
				req = req.WithContext(ctx)
			}
			before := cpuTime()
			for b.Loop() {
				if err := callOnce(bm.client, req, bm.timeout); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(cpuTime()-before)/float64(b.N), "cpu-ns/op")
		})
	}
}

// BenchmarkAdded compares in one run, in turns of 5,000 calls each, so that what else the machine does meets all alike: the
// median process CPU that a deadline by context.WithTimeout adds to a bare call, and what onehop adds, in ns and as a
// multiple of the deadline's.
func BenchmarkAdded(b *testing.B) {
	const turn = 5000
	bare := &http.Client{Transport: stub{}}
	timed := policy.Default()
	timed.Timeout, timed.AttemptTimeout = time.Second, 100*time.Millisecond
	clients := []*http.Client{bare, bare, overhead(b, policy.Default()), overhead(b, timed)}
	timeouts := []time.Duration{0, time.Second, 0, 0}
	req, err := http.NewRequest(http.MethodGet, "http://svc/", nil)
	if err != nil {
		b.Fatal(err)
	}
	costs := make([][]float64, len(clients))
	for b.Loop() {
		for i, c := range clients {
			runtime.GC()
			before := cpuTime()
			for range turn {
				if err := callOnce(c, req, timeouts[i]); err != nil {
					b.Fatal(err)
				}
			}
			costs[i] = append(costs[i], float64(cpuTime()-before)/turn)
		}
	}
	base, deadline := median(costs[0]), median(costs[1])-median(costs[0])
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(base, "bare-ns")
	b.ReportMetric(deadline, "deadline-ns")
	for i, name := range []string{"default", "timeouts"} {
		added := median(costs[2+i]) - base
		b.ReportMetric(added, name+"-ns")
		b.ReportMetric(added/deadline, name+"-x")
	}
}

func median(x []float64) float64 {
	slices.Sort(x)
	return x[len(x)/2]
}

func overhead(b *testing.B, p policy.Policy) *http.Client {
	b.Helper()
	return httpclient.New(newHop(b, p, "127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"), httpclient.WithMiddleware(overStub))
}

func callOnce(c *http.Client, req *http.Request, timeout time.Duration) error {
	if timeout > 0 {
		ctx, cancel := context.WithTimeout(req.Context(), timeout)
		defer cancel()
		req = req.WithContext(ctx)
	}
	resp, err := c.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // a string
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

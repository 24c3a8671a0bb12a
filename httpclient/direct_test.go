//go:build unix

package httpclient_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/onehop-go/onehop/httpclient"
	"github.com/onehop-go/onehop/policy"
)

// BenchmarkAgainstDirect is onehop's default policy against a plain http.Client that takes three servers in turns, end to
// end over TCP at 1, 16 and 64 callers: throughput, and the CPU of the whole process, servers included, as shares of the plain
// client's. "direct2" is the baseline against itself: what differs there is noise. A round of all takes a part of a second, and
// its figures are set against each other: what disturbs the machine disturbs all alike. The medians of the rounds are told.
func BenchmarkAgainstDirect(b *testing.B) {
	for _, callers := range []int{1, 16, 64} {
		b.Run("callers="+strconv.Itoa(callers), func(b *testing.B) { againstDirect(b, callers) })
	}
}

func againstDirect(b *testing.B, callers int) {
	b.Helper()
	const rounds, calls = 100, 1000
	var addrs []string
	for range 3 {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 256)) }))
		b.Cleanup(s.Close)
		addrs = append(addrs, s.Listener.Addr().String())
	}
	turns := policy.Default()
	turns.LoadBalancing.Algorithm = policy.RoundRobin
	ways := []struct {
		name     string
		fetch    func() error
		cpu, rps []float64
	}{
		{name: "direct", fetch: inTurns(b, addrs)},
		{name: "direct2", fetch: inTurns(b, addrs)},
		{name: "onehop", fetch: fetcher(httpclient.New(newHop(b, policy.Default(), addrs...)), "http://svc/")},
		{name: "in-turns", fetch: fetcher(httpclient.New(newHop(b, turns, addrs...)), "http://svc/")},
	}
	for b.Loop() {
		for r := range rounds {
			for i := range ways {
				w := &ways[(i+r)%len(ways)]
				begun, used := time.Now(), cpuTime()
				concurrently(b, w.fetch, callers, calls)
				w.cpu, w.rps = append(w.cpu, float64(cpuTime()-used)), append(w.rps, 1/time.Since(begun).Seconds())
			}
		}
	}
	b.ReportMetric(0, "ns/op") // a benchmark's operation here is all rounds
	for _, w := range ways[1:] {
		b.ReportMetric(shareOf(w.cpu, ways[0].cpu), w.name+"-cpu")
		b.ReportMetric(shareOf(w.rps, ways[0].rps), w.name+"-throughput")
	}
}

// shareOf is the median of a's figures over those of b, round by round.
func shareOf(a, b []float64) float64 {
	list := make([]float64, len(a))
	for i := range a {
		list[i] = a[i] / b[i]
	}
	return median(list)
}

// inTurns is what one writes without any of this: a client, and the servers one after the other.
func inTurns(b *testing.B, addrs []string) func() error {
	b.Helper()
	t := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // net/http's own
	t.MaxIdleConnsPerHost = 64                           // as onehop keeps
	b.Cleanup(t.CloseIdleConnections)
	client := &http.Client{Transport: t}
	fetches := make([]func() error, len(addrs))
	for i, addr := range addrs {
		fetches[i] = fetcher(client, fmt.Sprintf("http://%s/", addr))
	}
	var turn atomic.Uint64
	return func() error { return fetches[turn.Add(1)%uint64(len(fetches))]() }
}

func fetcher(client *http.Client, url string) func() error {
	return func() error {
		req, err := http.NewRequest(http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		return callOnce(client, req, 0)
	}
}

// concurrently makes n calls by so many callers.
func concurrently(b *testing.B, fetch func() error, callers, n int) {
	b.Helper()
	var wg sync.WaitGroup
	var left atomic.Int64
	left.Store(int64(n))
	for range callers {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				if err := fetch(); err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

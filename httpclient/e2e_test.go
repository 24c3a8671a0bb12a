//go:build unix

package httpclient_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/onehop-go/onehop/httpclient"
	"github.com/onehop-go/onehop/policy"
)

// BenchmarkEndToEnd compares onehop with direct net/http over the same three server processes on loopback, in turns of
// 200 ms, at 1, 16 and 64 callers: the medians of the throughput of each, of their ratio turn by turn, and of the client
// process's CPU a call.
func BenchmarkEndToEnd(b *testing.B) {
	addrs := []string{echoProcess(b), echoProcess(b), echoProcess(b)}
	base := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // net/http's
	base.MaxIdleConnsPerHost = 64
	defer base.CloseIdleConnections()
	var turn atomic.Int64
	direct := &http.Client{Transport: base}
	hop := httpclient.New(newHop(b, policy.Default(), addrs...))
	targets := [2]func() (*http.Client, string){
		func() (*http.Client, string) { return direct, "http://" + addrs[turn.Add(1)%3] + "/" },
		func() (*http.Client, string) { return hop, "http://svc/" },
	}
	for _, callers := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("c=%d", callers), func(b *testing.B) {
			var rates, costs [2][]float64
			var ratios []float64
			for b.Loop() {
				var round [2]float64
				for i, target := range targets {
					rate, cost := drive(b, callers, target)
					round[i] = rate
					rates[i], costs[i] = append(rates[i], rate), append(costs[i], cost)
				}
				ratios = append(ratios, round[1]/round[0])
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(median(rates[0]), "direct-rps")
			b.ReportMetric(median(rates[1]), "onehop-rps")
			b.ReportMetric(median(ratios), "ratio")
			b.ReportMetric(median(costs[0]), "direct-cpu-ns")
			b.ReportMetric(median(costs[1]), "onehop-cpu-ns")
		})
	}
}

// drive makes calls for a turn and returns their rate and the process CPU of one.
func drive(b *testing.B, callers int, target func() (*http.Client, string)) (rate, cost float64) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), 200*time.Millisecond)
	defer cancel()
	var calls atomic.Int64
	var wg sync.WaitGroup
	before, start := cpuTime(), time.Now()
	for range callers {
		wg.Go(func() {
			for ctx.Err() == nil {
				c, url := target()
				if _, body, err := send(b.Context(), c, http.MethodGet, url, nil); err != nil || body != "hello" {
					b.Error(body, err)
					return
				}
				calls.Add(1)
			}
		})
	}
	wg.Wait()
	n := float64(calls.Load())
	return n / time.Since(start).Seconds(), float64(cpuTime()-before) / n
}

// echoProcess starts a server as a process of its own and returns its address.
func echoProcess(b *testing.B) string {
	b.Helper()
	cmd := exec.CommandContext(b.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), echoEnv+"=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		in.Close() //nolint:errcheck // which ends it
		cmd.Wait() //nolint:errcheck // it is ended
	})
	addr, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	return strings.TrimSpace(addr)
}

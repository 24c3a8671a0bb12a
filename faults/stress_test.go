package faults

import (
	"context"
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onehop-go/onehop"
	"github.com/onehop-go/onehop/consul"
	"github.com/onehop-go/onehop/policy"
	"github.com/onehop-go/onehop/resolver"
)

// nothing is a try that succeeds at once.
func nothing(context.Context, resolver.Endpoint) (int, error) { return 0, nil }

func TestRow46CloseDoAndUpdateAtOnce(t *testing.T) {
	t.Parallel()
	row(t, 46)
	s := newServer(t)
	rounds := 20
	if long() {
		rounds = 500
	}
	calls, other := 0, map[onehop.Reason]int{}
	for range rounds {
		r := newScripted()
		hop := newHop(t, onehop.WithResolver(r), onehop.WithPolicies(policy.Static{}))
		web := webOf(t, hop)
		r.say(s.addr)
		var mu sync.Mutex
		var wg sync.WaitGroup
		begun := make(chan struct{})
		var once sync.Once
		for range 20 {
			wg.Go(func() {
				for range 20 {
					o := get(t, web, "http://pay/")
					_, err := onehop.Do(t.Context(), hop.Upstream("pay"), nothing)
					once.Do(func() { close(begun) })
					mu.Lock()
					calls += 2
					for _, err := range []error{o.err, err} {
						if err != nil {
							other[onehop.ReasonOf(err)]++
						}
					}
					mu.Unlock()
				}
			})
		}
		wg.Go(func() {
			for i := range 50 {
				r.say([]string{s.addr, closedAddr(t)}[:1+i%2]...)
			}
		})
		wg.Go(func() {
			<-begun
			_ = hop.Close()
		})
		wg.Wait()
	}
	figuref(t, "%d calls in %d rounds, errors %v", calls, rounds, other)
	for reason := range other {
		if reason != onehop.ReasonClosed {
			t.Errorf("%d calls failed for another reason than the close: %q", other[reason], reason)
		}
	}
}

func TestRow49ColdStartOfTenThousand(t *testing.T) {
	t.Parallel()
	row(t, 49)
	release := make(chan struct{})
	var blocked atomic.Int32
	body := health("pay", []string{"192.0.2.1:80"})
	f := newFakeAgent(t, func(w http.ResponseWriter, r *http.Request, n int) {
		if r.URL.Query().Get("index") != "" {
			blocked.Add(1)
			select {
			case <-release:
			case <-r.Context().Done():
			}
		}
		time.Sleep(50 * time.Millisecond) // so that all come before the answer
		list("7", body)(w, r, n)
	})
	hop := newHop(t, onehop.WithConsul(f.agent()), onehop.WithPolicies(policy.Static{}))
	defer close(release)
	var wg sync.WaitGroup
	var failed atomic.Int32
	for range 10_000 {
		wg.Go(func() {
			if _, err := onehop.Do(t.Context(), hop.Upstream("pay"), nothing); err != nil {
				failed.Add(1)
			}
		})
	}
	wg.Wait()
	asked := f.asked() - int(blocked.Load())
	figuref(t, "%d queries to Consul, %d of 10000 calls failed", asked, failed.Load())
	if asked != 1 || failed.Load() != 0 {
		t.Errorf("%d queries; want 1 (and the one that blocks); %d calls failed", asked, failed.Load())
	}
}

// A thousand processes lose Consul at once, and find it again.
func TestRow52ThousandRestartTogether(t *testing.T) {
	t.Parallel()
	row(t, 52)
	n := 300
	if long() {
		n = 1000
	}
	f := newFakeAgent(t, broken)
	synctest.Test(t, func(t *testing.T) {
		for i := range n {
			// A token of its own gives each a client of its own, as a process has.
			a := consul.Agent{Address: f.addr, Token: fmt.Sprint("process-", i)}
			newHop(t, onehop.WithConsul(a), onehop.WithPolicies(policy.Static{})).Upstream("pay")
		}
		time.Sleep(20 * time.Second)
		var perSecond []int
		last := f.asked()
		for range 40 {
			time.Sleep(time.Second)
			now := f.asked()
			perSecond = append(perSecond, now-last)
			last = now
		}
		sum := 0
		for _, k := range perSecond {
			sum += k
		}
		mean := float64(sum) / float64(len(perSecond))
		peak := float64(slices.Max(perSecond))
		figuref(t, "%d clients: %.0f queries a second, peak/mean %.2f", n, mean, peak/mean)
		if peak/mean > 1.6 {
			t.Errorf("peak/mean %.2f: they go in step: %v", peak/mean, perSecond)
		}
	})
}

// Not parallel: it looks at the heap of the whole process.
func TestRow17GreatCatalogue(t *testing.T) {
	row(t, 17)
	great := func(n int) string {
		var all []string
		for i := range n {
			all = append(all, fmt.Sprintf("10.%d.%d.%d:80", i>>16, i>>8&255, i&255))
		}
		return health("pay", all)
	}
	expected, tooMany := great(100_000), great(250_000)
	release := make(chan struct{})
	var now atomic.Pointer[[2]string] // index and body
	now.Store(&[2]string{"7", expected})
	f := newFakeAgent(t, func(w http.ResponseWriter, r *http.Request, n int) {
		if r.URL.Query().Get("index") == "7" { // blocks until there is something else
			select {
			case <-release:
			case <-r.Context().Done():
			}
		}
		said := now.Load()
		list(said[0], said[1])(w, r, n)
	})
	var e eye
	hop := newHop(t, onehop.WithConsul(f.agent()), onehop.WithPolicies(policy.Static{}), e.option())
	before := heap()
	up := hop.Upstream("pay")
	e.awaitListed(t, 100_000)
	if _, err := onehop.Do(t.Context(), up, nothing); err != nil {
		t.Fatal(err)
	}
	good := float64(heap()-before) / (1 << 20)
	now.Store(&[2]string{"8", tooMany})
	close(release)
	var most int64
	await(t, "the refusal of what is too much", func() bool {
		most = max(most, inUse())
		_, err := e.troubled()
		return err != nil && strings.Contains(err.Error(), "larger than")
	})
	peak := float64(most-before) / (1 << 20)
	figuref(t, "100,000 instances (%d MB): heap %+.0f MiB; 250,000 (%d MB) refused, %.0f MiB at most", len(expected)>>20, good, len(tooMany)>>20, peak)
	if e.listed() != 100_000 {
		t.Errorf("%d endpoints; the last known 100,000 stay", e.listed())
	}
	if good > 256 || peak > 768 {
		t.Errorf("heap %.0f MiB for 100,000 instances, %.0f MiB at most", good, peak)
	}
	runtime.KeepAlive(tooMany)
}

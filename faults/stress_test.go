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
	"github.com/onehop-go/onehop/internal/consultest"
	"github.com/onehop-go/onehop/policy"
	"github.com/onehop-go/onehop/resolver"
)

// nothing is a try that succeeds at once.
func nothing(context.Context, resolver.Endpoint) (int, error) { return 0, nil }

func TestRow46CloseDoAndUpdateAtOnce(t *testing.T) {
	t.Parallel()
	row(t, 46)
	s, nobody := newServer(t), consultest.Addr(t)
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
				r.say([]string{s.addr, nobody}[:1+i%2]...)
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

// In virtual time, so that no wait for the first answer runs out on a loaded machine: the clock stands while that is on its way.
func TestRow49ColdStartOfTenThousand(t *testing.T) {
	t.Parallel()
	row(t, 49)
	callers := int64(10_000)
	if raced {
		callers = 5_000 // the detector's own limit is about 8,000 goroutines
	}
	everybody := make(chan struct{}) // calls before the answer
	var begun, asked atomic.Int64
	answer := list("7", health("pay", []string{"192.0.2.1:80"}))
	f := newFakeAgent(t, func(w http.ResponseWriter, r *http.Request, n int) {
		if r.URL.Query().Get("index") != "" { // nothing changes
			<-r.Context().Done()
			return
		}
		asked.Add(1)
		<-everybody
		answer(w, r, n)
	})
	synctest.Test(t, func(t *testing.T) {
		hop := newHop(t, onehop.WithConsul(f.agent()), onehop.WithPolicies(policy.Static{}))
		var wg sync.WaitGroup
		var failed atomic.Int64
		for range callers {
			wg.Go(func() {
				if begun.Add(1) == callers {
					close(everybody)
				}
				if _, err := onehop.Do(t.Context(), hop.Upstream("pay"), nothing); err != nil {
					failed.Add(1)
				}
			})
		}
		wg.Wait()
		figuref(t, "%d queries to Consul, %d of %d calls failed", asked.Load(), failed.Load(), callers)
		if asked.Load() != 1 || failed.Load() != 0 {
			t.Errorf("%d queries; want 1 (and the one that blocks); %d calls failed", asked.Load(), failed.Load())
		}
	})
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

// Not parallel: it looks at the heap of the whole process. In virtual time, since a loaded machine may need longer for an
// answer of 15 MB than a read of Consul has.
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
	measured := make(chan struct{})
	f := newFakeAgent(t, func(w http.ResponseWriter, r *http.Request, n int) {
		if n == 0 {
			list("7", expected)(w, r, n)
			return
		}
		select { // the next answer is not on its way while the first is weighed
		case <-measured:
			list("8", tooMany)(w, r, n)
		case <-r.Context().Done():
		}
	})
	before, peak := heap(), watchHeap(t)
	synctest.Test(t, func(t *testing.T) {
		listed, refused := make(chan int, 1), make(chan struct{}, 1)
		hop := newHop(t, onehop.WithConsul(f.agent()), onehop.WithPolicies(policy.Static{}), onehop.WithObserver(onehop.Observer{
			Resolved: func(_ context.Context, _ resolver.Target, s resolver.Snapshot, err error) {
				if err == nil {
					listed <- len(s.Endpoints)
				} else if strings.Contains(err.Error(), "larger than") && len(refused) == 0 {
					refused <- struct{}{}
				}
			},
		}))
		up := hop.Upstream("pay")
		if n := <-listed; n != 100_000 {
			t.Errorf("%d endpoints", n)
		}
		good := float64(heap()-before) / (1 << 20)
		close(measured)
		select {
		case <-refused:
		case n := <-listed:
			t.Errorf("%d endpoints are believed: there is no bound", n)
		}
		most := float64(peak.Load()-before) / (1 << 20)
		if _, err := onehop.Do(t.Context(), up, nothing); err != nil {
			t.Errorf("the last known 100,000 are gone: %v", err)
		}
		figuref(t, "100,000 instances (%d MB): heap %+.0f MiB; 250,000 (%d MB) refused, %.0f MiB at most", len(expected)>>20, good, len(tooMany)>>20, most)
		if good > 256 || most > 768 {
			t.Errorf("heap %.0f MiB for 100,000 instances, %.0f MiB at most", good, most)
		}
	})
	runtime.KeepAlive(tooMany)
}

// watchHeap looks at the heap until t ends, and keeps the most it saw.
func watchHeap(t *testing.T) *atomic.Int64 {
	t.Helper()
	var most atomic.Int64
	end := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		looks := time.NewTicker(5 * time.Millisecond)
		defer looks.Stop()
		for {
			most.Store(max(most.Load(), inUse()))
			select {
			case <-looks.C:
			case <-end:
				return
			}
		}
	})
	t.Cleanup(func() { close(end); wg.Wait() })
	return &most
}

package bench

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"

	"google.golang.org/grpc/balancer"

	"github.com/onehop-go/onehop/internal/health"
	"github.com/onehop-go/onehop/policy"
	"github.com/onehop-go/onehop/resolver"
)

func members(n int) []resolver.Endpoint {
	list := make([]resolver.Endpoint, n)
	for i := range list {
		list[i] = resolver.Endpoint{Addr: fmt.Sprintf("10.%d.%d.%d:8080", i>>16, i>>8&255, i&255), ID: fmt.Sprintf("node-%d/service-%d", i, i)}
	}
	return list
}

// newSet is a set of n endpoints that have all answered, so that each read of a latency has something to decay.
func newSet(n int) *health.Set {
	s := emptySet(policy.P2CEWMA)
	s.Update(health.Now(), health.Tier{Members: members(n)})
	for i, e := range s.View().All {
		start := health.Now()
		s.Report(e, health.Report{Outcome: health.OK, Start: start, Now: start + time.Duration(10+i%20)*time.Millisecond})
	}
	return s
}

func emptySet(a policy.Algorithm) *health.Set {
	p := policy.Default()
	p.LoadBalancing.Algorithm = a
	return health.NewSet(health.Env{}, health.Settings{CircuitBreaker: p.CircuitBreaker, LoadBalancing: p.LoadBalancing, Apply: true})
}

// pick is a pick and its end, as the attempt loop makes them. The loop has read the clock: it is when the attempt began.
func pick(s *health.Set, now time.Duration) {
	e, _ := s.Pick(now, s.View(), health.Want{})
	e.Begin(false)
	e.End(false)
}

func pickLeastRequest(p balancer.Picker, ctx context.Context) { //nolint:revive // the picker is the subject
	r, _ := p.Pick(balancer.PickInfo{Ctx: ctx})
	r.Done(balancer.DoneInfo{})
}

func BenchmarkPick(b *testing.B) {
	for _, n := range []int{10, 1000, 100_000} {
		s := newSet(n)
		b.Run(fmt.Sprintf("onehop/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				pick(s, health.Now())
			}
		})
	}
	for _, n := range []int{10, 1000} {
		p := leastRequest(b, n)
		b.Run(fmt.Sprintf("grpc_least_request/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			ctx := context.Background()
			for b.Loop() {
				pickLeastRequest(p, ctx)
			}
		})
	}
}

// BenchmarkPickInUnits runs both in turns and prints a pick's price in units of grpc-go's least_request picker: over as
// many endpoints, at 100,000 of its picker over 1,000. Of each the
// fastest turn counts: a busy machine makes the others. units/clock includes a reading of the clock for each pick.
func BenchmarkPickInUnits(b *testing.B) {
	for _, n := range []int{10, 1000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s, p := newSet(n), leastRequest(b, min(n, 1000))
			ctx := context.Background()
			const turn = 1000
			var ours, clocked, theirs fastest
			for b.Loop() {
				now := health.Now()
				ours.time(func() {
					for range turn {
						pick(s, now)
					}
				})
				clocked.time(func() {
					for range turn {
						pick(s, health.Now())
					}
				})
				theirs.time(func() {
					for range turn {
						pickLeastRequest(p, ctx)
					}
				})
			}
			b.ReportMetric(float64(ours)/turn, "ns/pick")
			b.ReportMetric(float64(ours)/float64(theirs), "units")
			b.ReportMetric(float64(clocked)/float64(theirs), "units/clock")
		})
	}
}

// fastest is the shortest time of what it timed; 0: nothing yet.
type fastest time.Duration

func (f *fastest) time(do func()) {
	start := time.Now()
	do()
	if d := fastest(time.Since(start)); *f == 0 || d < *f {
		*f = d
	}
}

func TestPickAllocatesNothing(t *testing.T) {
	for _, a := range []policy.Algorithm{policy.P2CEWMA, policy.LeastRequest, policy.RoundRobin} {
		for _, weight := range []int{0, 3} {
			s := emptySet(a)
			list := members(1000)
			list[0].Weight = weight
			s.Update(health.Now(), health.Tier{Members: list})
			if n := testing.AllocsPerRun(1000, func() { pick(s, health.Now()) }); n != 0 {
				t.Errorf("%s, first weight %d: %v allocations a pick", a, weight, n)
			}
		}
	}
}

func BenchmarkReport(b *testing.B) {
	s := newSet(10)
	e := s.View().All[0]
	b.ReportAllocs()
	for b.Loop() {
		now := health.Now()
		s.Report(e, health.Report{Outcome: health.OK, Start: now - 10*time.Millisecond, Now: now})
	}
}

// BenchmarkUpdate reconciles a snapshot of 10,000 endpoints in which one has changed.
func BenchmarkUpdate(b *testing.B) {
	const n = 10_000
	s := newSet(n)
	lists := [2][]resolver.Endpoint{members(n), members(n)}
	lists[1][n/2].Addr = "10.9.9.9:8080"
	b.ReportAllocs()
	i, best := 0, fastest(0)
	for b.Loop() {
		best.time(func() { s.Update(health.Now(), health.Tier{Members: lists[i&1]}) })
		i++
	}
	b.ReportMetric(float64(best), "ns/fastest")
}

func TestUpdateKeepsAllOtherState(t *testing.T) {
	const n = 10_000
	s := newSet(n)
	before := map[string]*health.Endpoint{}
	for _, e := range s.View().All {
		before[e.Addr()] = e
	}
	list := members(n)
	list[n/2].Addr = "10.9.9.9:8080"
	s.Update(health.Now(), health.Tier{Members: list})
	changed := 0
	for _, e := range s.View().All {
		if before[e.Addr()] != e {
			changed++
		}
	}
	if changed != 1 {
		t.Errorf("%d endpoints lost their state, want the one that changed", changed)
	}
}

// BenchmarkTrip opens and closes one of 10,000 endpoints: what a change of the available set costs.
func BenchmarkTrip(b *testing.B) {
	s := newSet(10_000)
	e := s.View().All[0]
	refused := func(context.Context) error { return context.DeadlineExceeded }
	b.ReportAllocs()
	for b.Loop() {
		s.Unreachable(health.Now(), e, context.DeadlineExceeded, refused)
		s.Connected(health.Now(), e)
	}
	if !e.Available() {
		b.Fatal("open")
	}
}

// TestMemoryOfAnEndpoint: one that was never picked costs at most 512 bytes beside what discovery said of it.
func TestMemoryOfAnEndpoint(t *testing.T) {
	const n, most = 20_000, 512
	list := members(n)
	before := heap()
	s := emptySet(policy.P2CEWMA)
	s.Update(health.Now(), health.Tier{Members: list})
	each := float64(heap()-before) / n
	t.Logf("%.0f bytes an endpoint", each)
	if each > most {
		t.Errorf("%.0f bytes an endpoint, want at most %d", each, most)
	}
	runtime.KeepAlive(s)
	runtime.KeepAlive(list)
}

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

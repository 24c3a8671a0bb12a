package scale

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

// theirs is grpc-go's picker over n endpoints.
func theirs(b *testing.B, n int) balancer.Picker {
	b.Helper()
	p, end, err := leastRequest(n)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(end)
	return p
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
	for _, n := range []int{10, theirMost} {
		p := theirs(b, n)
		b.Run(fmt.Sprintf("grpc_least_request/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			ctx := context.Background()
			for b.Loop() {
				pickLeastRequest(p, ctx)
			}
		})
	}
}

// BenchmarkPickInUnits runs both in turns and prints a pick's price in units of grpc-go's least_request picker over as many
// endpoints, above 1,000 over 1,000. Of each the fastest turn counts: a busy machine makes the others. units/clock includes a reading of the clock
// for each pick.
func BenchmarkPickInUnits(b *testing.B) {
	for _, n := range []int{10, 1000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s, p := newSet(n), theirs(b, min(n, theirMost))
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

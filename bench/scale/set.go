package scale

import (
	"context"
	"fmt"
	"runtime"
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

// heap is the size of what is reachable.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

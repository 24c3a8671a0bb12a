package scale

import (
	"context"
	"runtime"
	"time"

	"google.golang.org/grpc/balancer"

	"github.com/onehop-go/onehop/bench/report"
	"github.com/onehop-go/onehop/internal/health"
	"github.com/onehop-go/onehop/policy"
	"github.com/onehop-go/onehop/resolver"
)

// picks are the rounds of both pickers over n endpoints, in nanoseconds a pick.
type picks struct {
	ours, theirs []float64
}

// theirMost is the most endpoints that grpc-go's picker is measured over, and what ours is compared with above: its balancer
// makes a new picker for each connection that becomes ready, which takes minutes from 10,000 on.
const theirMost = 1000

// measurePicks takes turns of 1,000 picks each; the fastest turn is the round's: a busy machine makes the others. Both are
// told the moment of the pick, as the attempt loop has read it anyway.
func measurePicks(ctx context.Context, n, rounds, turns int) (picks, error) {
	s := newSet(n)
	theirs, end, err := leastRequest(min(n, theirMost))
	if err != nil {
		return picks{}, err
	}
	defer end()
	const turn = 1000
	var p picks
	for range rounds {
		if err := ctx.Err(); err != nil {
			return picks{}, err
		}
		var a, b fastest
		for range turns {
			now := health.Now()
			a.time(func() {
				for range turn {
					pick(s, now)
				}
			})
			b.time(func() { pickMany(theirs, turn) })
		}
		p.ours, p.theirs = append(p.ours, float64(a)/turn), append(p.theirs, float64(b)/turn)
	}
	return p, nil
}

func pickMany(p balancer.Picker, n int) {
	ctx := context.Background()
	for range n {
		pickLeastRequest(p, ctx)
	}
}

// measureUpdate returns the milliseconds, by round, in which a snapshot of n endpoints with one change is taken over.
func measureUpdate(ctx context.Context, n, rounds int) ([]float64, error) {
	s := newSet(n)
	lists := [2][]resolver.Endpoint{members(n), members(n)}
	lists[1][n/2].Addr = "10.9.9.9:8080"
	times := make([]float64, rounds)
	for i := range times {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		var best fastest
		for k := range 4 { // twice there and back
			best.time(func() { s.Update(health.Now(), health.Tier{Members: lists[k&1^1]}) })
		}
		times[i] = float64(best) / float64(time.Millisecond)
	}
	return times, nil
}

// measureMemory returns the bytes of an endpoint that was never picked, beside what discovery said of it. Small sets are made
// many times, so that what the heap does by itself does not count.
func measureMemory(n int) float64 {
	list := members(n)
	sets := make([]*health.Set, max(1, 20_000/n))
	before := heap()
	for i := range sets {
		sets[i] = emptySet(policy.P2CEWMA)
		sets[i].Update(health.Now(), health.Tier{Members: list})
	}
	bytes := float64(heap()-before) / float64(n*len(sets))
	runtime.KeepAlive(sets)
	runtime.KeepAlive(list)
	return bytes
}

// endpointCurves are the costs that depend on how many endpoints a service has.
type endpointCurves struct {
	pick, theirs, update, memory curve
	units, updates               map[int]report.Figure // by number of endpoints
}

func measureEndpoints(ctx context.Context, o report.Options, sizes []int, rounds, turns int) (*endpointCurves, error) {
	c := &endpointCurves{
		pick: curve{name: "onehop", ours: true}, theirs: curve{name: "grpc-go's least_request"},
		update: curve{name: "onehop", ours: true}, memory: curve{name: "onehop", ours: true},
		units: map[int]report.Figure{}, updates: map[int]report.Figure{},
	}
	for _, n := range sizes {
		o.Log("scale: %d endpoints", n)
		p, err := measurePicks(ctx, n, rounds, turns)
		if err != nil {
			return nil, err
		}
		c.pick.add(n, report.MedianOf(p.ours).Median)
		if n <= theirMost {
			c.theirs.add(n, report.MedianOf(p.theirs).Median)
		}
		c.units[n] = report.Ratio(p.ours, p.theirs)
		u, err := measureUpdate(ctx, n, rounds)
		if err != nil {
			return nil, err
		}
		c.updates[n] = report.MedianOf(u)
		c.update.add(n, c.updates[n].Median)
		c.memory.add(n, measureMemory(n))
	}
	return c, nil
}

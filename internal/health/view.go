package health

import (
	"slices"
	"sync"
	"time"

	"github.com/onehop-go/onehop/internal/balance"
	"github.com/onehop-go/onehop/policy"
)

// View is an immutable picture of a set: All its endpoints and the Available ones.
type View struct {
	All, Available []*Endpoint
	open           []*Endpoint // the others of All: open or probing
	settings       *Settings

	// What the algorithm needs over the pickable; nil for the other algorithms.
	turns *balance.Turns
	draws *balance.Alias       // of p2c_ewma and least_request where weights differ
	ring  func() *balance.Ring // over All, so that a breaker that opens moves nobody else's keys
}

// Narrow is the view of some endpoints of the set only: those a protocol has connections to.
func (s *Set) Narrow(all []*Endpoint) *View { return narrow(all, s.settings.Load(), ringOver(all)) }

func narrow(all []*Endpoint, settings *Settings, ring func() *balance.Ring) *View {
	v := &View{All: all, Available: make([]*Endpoint, 0, len(all)), settings: settings, ring: ring}
	for _, e := range all {
		if e.Available() {
			v.Available = append(v.Available, e)
		} else {
			v.open = append(v.open, e)
		}
	}
	switch settings.LoadBalancing.Algorithm {
	case policy.RoundRobin:
		v.turns = balance.NewTurns(weights(v.pickable()))
	case policy.P2CEWMA, policy.LeastRequest, policy.RingHash:
		v.draws = balance.NewAlias(weights(v.pickable()))
	}
	return v
}

// ringOver makes the ring at its first use: it is much work, and one algorithm's only.
func ringOver(all []*Endpoint) func() *balance.Ring {
	return sync.OnceValue(func() *balance.Ring {
		keys := make([]string, len(all))
		for i, e := range all {
			keys[i] = e.Info().ID + " " + e.Addr()
		}
		return balance.NewRing(keys, weights(all))
	})
}

// pickable is what a pick chooses from: the available, or all when none is left or breakers are not obeyed.
func (v *View) pickable() []*Endpoint {
	if len(v.Available) == 0 || !v.settings.Apply {
		return v.All
	}
	return v.Available
}

func weights(endpoints []*Endpoint) []int {
	w := make([]int, len(endpoints))
	for i, e := range endpoints {
		w[i] = max(1, e.Info().Weight)
	}
	return w
}

// Untried says whether v has an endpoint that a call which tried these could still be served by.
func (v *View) Untried(tried []*Endpoint) bool {
	for _, e := range v.pickable() {
		if !slices.Contains(tried, e) {
			return true
		}
	}
	return false
}

// choose is the algorithm's pick among the pickable.
func (s *Set) choose(now time.Duration, v *View, want Want) *Endpoint {
	candidates := v.pickable()
	switch {
	case len(candidates) == 0:
		return nil
	case len(candidates) == 1:
		return candidates[0]
	case want.Hash != 0 && v.settings.LoadBalancing.Algorithm == policy.RingHash:
		return v.hashed(want)
	case len(want.Tried) > 0:
		return s.untried(now, v, candidates, want.Tried)
	case v.turns != nil:
		return candidates[v.turns.Next(&s.turn)]
	case v.draws != nil:
		// Two draws by weight, which may be the same: at rest every share is its weight's.
		return s.cheaper(now, v, candidates[v.draws.Draw()], candidates[v.draws.Draw()])
	}
	i, j := balance.Two(len(candidates))
	return s.cheaper(now, v, candidates[i], candidates[j])
}

// cheaper is the power of two choices: of two draws the one with the lower cost, the first where they are equal.
func (s *Set) cheaper(now time.Duration, v *View, a, b *Endpoint) *Endpoint {
	lb := &v.settings.LoadBalancing
	service := 0.0 // least_request: all latencies read the same
	if lb.Algorithm != policy.LeastRequest {
		service = max(s.service.Read(), guessLatency)
	}
	if b.cost(now, service, lb.SlowStart) < a.cost(now, service, lb.SlowStart) {
		return b
	}
	return a
}

// untried serves retries, which are rare: it may allocate.
func (s *Set) untried(now time.Duration, v *View, candidates, tried []*Endpoint) *Endpoint {
	left := slices.DeleteFunc(slices.Clone(candidates), func(e *Endpoint) bool { return slices.Contains(tried, e) })
	switch len(left) {
	case 0:
		left = candidates
	case 1:
		return left[0]
	}
	i, j := balance.Two(len(left))
	return s.cheaper(now, v, left[i], left[j])
}

// loadBound is how far above the mean a hashed endpoint may be loaded (Mirrokni, Thorup, Zadimoghaddam 2016).
const loadBound = 1.25

// hashed is the owner of the call's key, or the next on the ring that is pickable, not tried, and not loaded beyond the
// bound.
func (v *View) hashed(want Want) *Endpoint {
	obey := len(v.Available) > 0 && v.settings.Apply
	load, capacity := 1.0, 0.0
	for _, e := range v.pickable() {
		load += float64(e.inflight.Load())
		capacity += float64(max(1, e.Info().Weight))
	}
	var first *Endpoint // that is pickable at all
	i := v.ring().Walk(want.Hash, func(i int) bool {
		e := v.All[i]
		if obey && !e.Available() || slices.Contains(want.Tried, e) {
			return false
		}
		if first == nil {
			first = e
		}
		most := loadBound * load / capacity * float64(max(1, e.Info().Weight))
		return float64(e.inflight.Load()) < max(1, most)
	})
	if i >= 0 {
		return v.All[i]
	}
	if first == nil { // all were tried
		return v.pickable()[int(want.Hash%uint64(len(v.pickable())))]
	}
	return first
}

package health

import (
	"math"
	"math/rand/v2"
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
	shares         []float64            // of the datacenters, the own first
	groups         []group              // what a pick chooses from, by share; none: All is empty
	pickable       []*Endpoint          // of all groups
	ring           func() *balance.Ring // over All, so that a breaker that opens moves nobody else's keys
}

// Narrow is the view of some endpoints of the set only: those a protocol has connections to.
func (s *Set) Narrow(all []*Endpoint) *View {
	return newView(all, s.settings.Load(), s.view.Load().shares, ringOver(all))
}

func newView(all []*Endpoint, settings *Settings, shares []float64, ring func() *balance.Ring) *View {
	v := &View{All: all, Available: make([]*Endpoint, 0, len(all)), settings: settings, shares: shares, ring: ring}
	for _, e := range all {
		if e.Available() {
			v.Available = append(v.Available, e)
		} else {
			v.open = append(v.open, e)
		}
	}
	v.split()
	return v
}

// ringOver makes the ring at its first use: it is much work, and one algorithm's only.
func ringOver(all []*Endpoint) func() *balance.Ring {
	return sync.OnceValue(func() *balance.Ring {
		keys := make([]string, len(all))
		for i, e := range all {
			keys[i] = e.Info().ID + " " + e.Addr()
		}
		return balance.NewRing(keys, listedWeights(all))
	})
}

// Untried says whether v has an endpoint that a call which tried these could still be served by.
func (v *View) Untried(tried []*Endpoint) bool {
	for _, e := range v.pickable {
		if !slices.Contains(tried, e) {
			return true
		}
	}
	return false
}

// choose is the algorithm's pick among the pickable.
func (s *Set) choose(now time.Duration, v *View, want *Want) *Endpoint {
	switch n := len(v.pickable); {
	case n == 0:
		return nil
	case n > 1 && want.Hash != 0 && v.settings.LoadBalancing.Algorithm == policy.RingHash:
		return v.hashed(now, *want)
	case len(want.Tried) > 0:
		return s.untried(now, v, want.Place, want.Tried)
	case n == 1:
		return v.pickable[0]
	}
	g := v.group(want.Place)
	if len(g.endpoints) == 1 {
		return g.endpoints[0]
	}
	if want.Conn {
		return g.emptiest()
	}
	e := s.draw(now, v, g)
	if e.resting(now) {
		return g.awake(now, e)
	}
	return e
}

// draw is the algorithm's choice.
func (s *Set) draw(now time.Duration, v *View, g *group) *Endpoint {
	var i, j int
	switch {
	case g.turns != nil:
		e := g.endpoints[g.turns.Next(&s.turn)]
		if !e.grown(now, v.settings.LoadBalancing.SlowStart) {
			e = g.endpoints[g.turns.Next(&s.turn)]
		}
		return e
	case g.draws != nil:
		i, j = g.draws.Draw(), g.draws.Draw() // they may be the same: at rest every share is its weight's
	default:
		i, j = balance.Two(len(g.endpoints))
	}
	return s.cheaper(now, v, g.endpoints[i], g.endpoints[j])
}

// awake is an endpoint that has not asked for a pause, in place of e, which has; e where all have. They stand in for it by
// chance and weight: its neighbour alone would have two shares.
func (g *group) awake(now time.Duration, e *Endpoint) *Endpoint {
	sum := 0.0
	for _, other := range g.endpoints {
		if other.resting(now) {
			continue
		}
		w := other.weight.get()
		if sum += w; rand.Float64()*sum < w {
			e = other
		}
	}
	return e
}

// Rest is how long every endpoint of v that a pick may choose still rests, because it asked for a pause; 0: one does not.
func (v *View) Rest(now time.Duration) time.Duration {
	least := time.Duration(math.MaxInt64)
	for _, e := range v.pickable {
		least = min(least, max(0, time.Duration(e.paused.Load())-now))
	}
	if len(v.pickable) == 0 {
		return 0
	}
	return least
}

// emptiest is the endpoint with the fewest connections for its weight, by chance among equals. Connections are few and stay
// long: two draws would leave one endpoint of three without any.
func (g *group) emptiest() *Endpoint {
	from := rand.IntN(len(g.endpoints))
	best, least := g.endpoints[from], math.MaxFloat64
	for i := range g.endpoints {
		e := g.endpoints[(from+i)%len(g.endpoints)]
		if c := float64(e.conns.Load()) / e.weight.get(); c < least {
			best, least = e, c
		}
	}
	return best
}

// cheaper is the power of two choices: of two draws the one with the lower cost, the first where they are equal.
func (s *Set) cheaper(now time.Duration, v *View, a, b *Endpoint) *Endpoint {
	set := &v.settings.LoadBalancing
	if olda, oldb := a.grown(now, set.SlowStart), b.grown(now, set.SlowStart); olda != oldb {
		if olda {
			return a
		}
		return b
	}
	la, lb := 1.0, 1.0
	if set.Algorithm != policy.LeastRequest {
		if e := forgotten(now, a, b); e != nil {
			return e
		}
		la, lb = latencies(a, b)
	}
	best := a // half of the time either: set so that the compiler makes it no branch, which would be foretold wrongly as often
	if b.cost(now, lb) < a.cost(now, la) {
		best = b
	}
	return best
}

// forgotten is the one of two draws that nobody has measured for tau, if the other was measured since: one call in so long
// finds out whether it is slow still. Without it an endpoint that was 500 times as slow for a moment would have to wait for
// e^-t to make up for that, a minute, and its peers would carry its load. What fails or asked for a pause is not tried.
func forgotten(now time.Duration, a, b *Endpoint) *Endpoint {
	ms := millis(now)
	olda, oldb := a.unmeasured(now, ms), b.unmeasured(now, ms)
	switch {
	case olda == oldb:
		return nil
	case olda:
		return a
	}
	return b
}

// unmeasured says that the endpoint is well, idle, and has a latency older than tau.
func (e *Endpoint) unmeasured(now time.Duration, ms uint32) bool {
	w := e.latency.word.Load()
	return int32(ms-uint32(w)) > int32(tau/time.Millisecond) && w != 0 && e.inflight.Load() == 0 &&
		e.failures.none() && !e.resting(now)
}

// latencies are what two endpoints are compared by: only their ratio means anything. One without a sample is neither
// free nor feared: it is taken to be like the other. The service's mean would not do: it does not decay as the other's
// average has done since its last answer, so that an endpoint never called would lose every comparison on a quiet
// upstream.
func latencies(a, b *Endpoint) (la, lb float64) {
	la, at := unpack(a.latency.word.Load())
	lb, bt := unpack(b.latency.word.Load())
	switch {
	case la == 0 && lb == 0:
		return 1, 1
	case la == 0:
		return lb, lb
	case lb == 0:
		return la, la
	}
	// Only what one decays more than the other tells them apart. One that failed last does not decay: the longer nobody
	// calls it the faster it would look, and be called again.
	switch faila, failb := a.failing(), b.failing(); {
	case !faila && !failb:
		la *= exp(int32(bt - at))
	case !faila:
		la *= decay(bt, at)
	case !failb:
		lb *= decay(at, bt)
	}
	return la, lb
}

// failing says that the endpoint's last outcome was bad. Its first read is of the line that a pick reads anyway.
func (e *Endpoint) failing() bool { return !e.failures.none() && e.consec.Load() != 0 }

// untried serves retries, which are rare: it may allocate. It looks for another endpoint where the call belongs, then
// anywhere, then among those that are avoided.
func (s *Set) untried(now time.Duration, v *View, place int, tried []*Endpoint) *Endpoint {
	left := v.group(place).endpoints
	others := without(left, tried)
	if len(others) == 0 {
		others = without(v.pickable, tried)
	}
	if len(others) == 0 {
		others = without(s.lastResort(v), tried)
	}
	if len(others) > 0 {
		left = others
	}
	if len(left) == 1 {
		return left[0]
	}
	i, j := balance.Two(len(left))
	return s.cheaper(now, v, left[i], left[j])
}

// lastResort is who may have recovered unseen, where everybody who is available fails in a row: those that are avoided for
// their failures. The last one available never opens, since it has no peer to be compared with, and nobody else would be
// called before a probe is due. Whom no dial reached is left to our own dials.
func (s *Set) lastResort(v *View) (list []*Endpoint) {
	for _, e := range v.pickable {
		if e.consec.Load() < 2 { // one failure happens by chance: it is likelier to serve than one that is avoided
			return nil
		}
	}
	for _, e := range v.open {
		if v.shares[e.tier] > 0 && s.redialOf(e) == nil {
			list = append(list, e)
		}
	}
	return list
}

func without(list, tried []*Endpoint) []*Endpoint {
	return slices.DeleteFunc(slices.Clone(list), func(e *Endpoint) bool { return slices.Contains(tried, e) })
}

// loadBound is how far above its share of the calls in flight a hashed endpoint may be loaded (Mirrokni, Thorup,
// Zadimoghaddam 2016), and loadChance how many calls more: where a few are in flight that many are there by chance. Without
// it a client with one call in flight would send every second call of a key elsewhere.
const (
	loadBound  = 1.25
	loadChance = 2
)

// hashed is the owner of the call's key, or the next on the ring that is pickable, not tried, has not asked for a pause, and
// is not loaded beyond the bound.
func (v *View) hashed(now time.Duration, want Want) *Endpoint {
	may := v.group(want.Place).endpoints // a datacenter's, by its share
	all := len(v.groups) == 1 && len(may) == len(v.All)
	load, capacity := 1.0, 0.0
	for _, e := range may {
		load += float64(e.inflight.Load())
		capacity += float64(e.listed())
	}
	var first *Endpoint // that is pickable at all
	i := v.ring().Walk(want.Hash, func(i int) bool {
		e := v.All[i]
		if !all && !slices.Contains(may, e) || slices.Contains(want.Tried, e) {
			return false
		}
		if first == nil {
			first = e
		}
		if e.resting(now) {
			return false
		}
		share := load / capacity * float64(e.listed())
		return float64(e.inflight.Load()) < loadBound*share+loadChance
	})
	if i >= 0 {
		return v.All[i]
	}
	if first == nil { // all were tried
		return may[want.Hash%uint64(len(may))]
	}
	return first
}

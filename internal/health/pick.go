package health

import (
	"slices"
	"time"

	"github.com/onehop-go/onehop/internal/balance"
)

// Want is what a pick should know about its attempt.
type Want struct {
	Tried []*Endpoint // of this call: others are preferred
	Probe bool        // the attempt may decide whether an open endpoint is well again: it can be retried elsewhere
}

// Pick chooses an endpoint of v for an attempt, nil where v has none. In order of preference: one whose probe is due,
// an available one not yet tried, any available one, one not yet tried, any. probe, when not nil, must be called once
// with what Report said of the attempt.
func (s *Set) Pick(now time.Duration, v *View, want Want) (e *Endpoint, probe func(Outcome)) {
	if int64(now) >= s.due.Load() && len(v.All) > 0 {
		if e, probe = s.probe(now, v, want.Probe); e != nil {
			return e, probe
		}
	}
	candidates := v.pickable()
	if len(want.Tried) > 0 {
		return s.pickUntried(now, v, candidates, want.Tried), nil
	}
	if v.turns != nil {
		if i := v.turns.Next(&s.turn); i >= 0 {
			return candidates[i], nil
		}
		return nil, nil
	}
	return s.cheapest(now, v, candidates), nil
}

// cheapest is p2c_ewma: of two distinct draws, the one with the lower cost.
func (s *Set) cheapest(now time.Duration, v *View, candidates []*Endpoint) *Endpoint {
	switch len(candidates) {
	case 0:
		return nil
	case 1:
		return candidates[0]
	}
	i, j := balance.Two(len(candidates))
	a, b := candidates[i], candidates[j]
	service := max(s.service.Read(), guessLatency)
	slow := v.settings.LoadBalancing.SlowStart
	if b.cost(now, service, slow) < a.cost(now, service, slow) {
		return b
	}
	return a
}

// pickUntried serves retries, which are rare: it may allocate.
func (s *Set) pickUntried(now time.Duration, v *View, candidates, tried []*Endpoint) *Endpoint {
	untried := func(list []*Endpoint) []*Endpoint {
		return slices.DeleteFunc(slices.Clone(list), func(e *Endpoint) bool { return slices.Contains(tried, e) })
	}
	if left := untried(candidates); len(left) > 0 {
		return s.cheapest(now, v, left)
	}
	return s.cheapest(now, v, candidates)
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

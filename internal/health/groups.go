package health

import (
	"math/rand/v2"
	"slices"

	"github.com/onehop-go/onehop/internal/balance"
	"github.com/onehop-go/onehop/policy"
)

// group is endpoints that are balanced among each other: those of a datacenter, or of one of its zones.
type group struct {
	endpoints []*Endpoint
	place     int            // the datacenter: 0 the own
	share     float64        // of the calls
	turns     *balance.Turns // round_robin
	draws     *balance.Alias // other algorithms, where weights differ; nil: all draws are equal
}

func newGroup(endpoints []*Endpoint, place int, share float64, a policy.Algorithm) group {
	g := group{endpoints: endpoints, place: place, share: share}
	if a == policy.RoundRobin {
		g.turns = balance.NewTurns(weights(endpoints))
	} else {
		g.draws = balance.NewAlias(weights(endpoints))
	}
	return g
}

// split makes the groups of a view: a tier for each datacenter by its share, and in it the zones by theirs.
func (v *View) split() {
	lb := &v.settings.LoadBalancing
	for tier, share := range v.shares {
		endpoints := v.tier(tier)
		if share == 0 || len(endpoints) == 0 {
			continue
		}
		for _, z := range byZone(endpoints, v.settings.Zone, lb) {
			v.groups = append(v.groups, newGroup(z.endpoints, tier, share*z.share, lb.Algorithm))
		}
		v.pickable = append(v.pickable, endpoints...)
	}
}

// tier is who may be picked in one datacenter: the available, or all when none is left or breakers are not obeyed.
func (v *View) tier(n int) []*Endpoint {
	if len(v.shares) == 1 {
		if len(v.Available) == 0 || !v.settings.Apply {
			return v.All
		}
		return v.Available
	}
	other := func(e *Endpoint) bool { return e.tier != n }
	if v.settings.Apply {
		if list := slices.DeleteFunc(slices.Clone(v.Available), other); len(list) > 0 {
			return list
		}
	}
	return slices.DeleteFunc(slices.Clone(v.All), other)
}

// Place draws the datacenter of a call by their shares: 0 the own.
func (s *Set) Place() int {
	v := s.view.Load()
	if len(v.shares) == 1 || len(v.groups) == 0 {
		return 0
	}
	return v.draw(v.groups, 1).place
}

// group is where a call goes that was admitted to a datacenter: one of its zones. Where it has nobody here, anywhere.
func (v *View) group(place int) *group {
	if len(v.groups) == 1 {
		return &v.groups[0]
	}
	from := slices.IndexFunc(v.groups, func(g group) bool { return g.place == place })
	if from < 0 {
		return v.draw(v.groups, 1)
	}
	to, total := from, 0.0
	for to < len(v.groups) && v.groups[to].place == place { // they stand together
		total += v.groups[to].share
		to++
	}
	return v.draw(v.groups[from:to], total)
}

// draw is one of groups, whose shares make total.
func (v *View) draw(groups []group, total float64) *group {
	r := rand.Float64() * total
	for i := range groups {
		if r -= groups[i].share; r < 0 {
			return &groups[i]
		}
	}
	return &groups[len(groups)-1]
}

type zone struct {
	endpoints []*Endpoint
	share     float64
}

const (
	leastZoned = 6 // endpoints that make zones worth telling apart: Envoy's min_cluster_size
	leastLocal = 2 // endpoints of the own zone: one alone would be a single point of failure
)

// byZone is Envoy's zone aware routing with one assumption more, that every zone with endpoints has as many callers:
// a zone whose share of the capacity is at least its share of the callers serves its own callers alone; the others
// spill over to the zones that have more capacity than callers.
func byZone(endpoints []*Endpoint, own string, lb *policy.LoadBalancing) []zone {
	one := []zone{{endpoints, 1}}
	if own == "" || !lb.PreferLocalZone || lb.Algorithm == policy.RingHash || len(endpoints) < leastZoned {
		return one
	}
	capacity, members := map[string]float64{}, map[string][]*Endpoint{}
	total := 0.0
	for _, e := range endpoints {
		where, w := e.Info().Zone, float64(e.listed())
		capacity[where] += w
		members[where] = append(members[where], e)
		total += w
	}
	if len(members) < 2 || len(members[own]) < leastLocal {
		return one
	}
	callers := 1 / float64(len(members)) // each zone's share of them
	local := capacity[own] / total
	if local >= callers {
		return []zone{{members[own], 1}}
	}
	zones := []zone{{members[own], local / callers}}
	spare := 0.0
	for name := range members {
		spare += max(0, capacity[name]/total-callers)
	}
	for name, list := range members {
		if more := max(0, capacity[name]/total-callers); more > 0 {
			zones = append(zones, zone{list, (1 - local/callers) * more / spare})
		}
	}
	return zones
}

package balance

import (
	"math"
	"slices"

	"github.com/cespare/xxhash/v2"
)

// Ring is consistent hashing by weighted rendezvous (Thaler and Ravishankar 1998; Schindelhauer and Schomaker 2005): each
// member has a score for each key, and the highest owns it. A member that leaves gives away its own keys and no others,
// and shares follow the weights exactly, which a circle of points does for neither: as their number per member depends on
// the members, each change moves nearly twice as many keys. Scores are the same in every process. Immutable.
type Ring struct {
	seeds   []uint64
	weights []float64 // nil: all are equal
}

// NewRing returns the ring of members named by keys; weights are at least 1.
func NewRing(keys []string, weights []int) *Ring {
	r := &Ring{seeds: make([]uint64, len(keys))}
	for i, k := range keys {
		r.seeds[i] = xxhash.Sum64String(k)
		if weights[i] != weights[0] {
			r.weights = make([]float64, len(keys))
		}
	}
	for i := range r.weights {
		r.weights[i] = float64(weights[i])
	}
	return r
}

// Hash is the number of a key.
func Hash(key string) uint64 { return xxhash.Sum64String(key) }

// Walk offers the members from the owner of hash on, in the order of their scores, until one is accepted; -1: none was.
// The owner costs no allocation.
func (r *Ring) Walk(hash uint64, accept func(i int) bool) int {
	best, most := -1, math.Inf(-1)
	for i := range r.seeds {
		if s := r.score(hash, i); s > most {
			best, most = i, s
		}
	}
	if best < 0 || accept(best) {
		return best
	}
	for _, i := range r.order(hash)[1:] {
		if accept(i) {
			return i
		}
	}
	return -1
}

// order is all members by their scores.
func (r *Ring) order(hash uint64) []int {
	scores, order := make([]float64, len(r.seeds)), make([]int, len(r.seeds))
	for i := range order {
		scores[i], order[i] = r.score(hash, i), i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case scores[a] > scores[b]:
			return -1
		case scores[a] < scores[b]:
			return 1
		}
		return 0
	})
	return order
}

// score is ln(u)/w for a u between 0 and 1 that key and member draw together: its highest falls to each member in
// proportion to its weight. Where weights are equal the logarithm would change no order.
func (r *Ring) score(hash uint64, i int) float64 {
	u := (float64(mix(hash^r.seeds[i])>>11) + 0.5) * 0x1p-53
	if r.weights == nil {
		return u
	}
	return math.Log(u) / r.weights[i]
}

// mix is the finalizer of SplitMix64: each bit of its result depends on all of x.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

package balance

import (
	"encoding/binary"
	"slices"
	"sort"

	"github.com/cespare/xxhash/v2"
)

const (
	ringPoints  = 65536 // of a ring, shared by weight: shares within 1 % of the whole at any size
	leastPoints = 16    // of one member, however many there are
)

// Ring is consistent hashing (Karger 1997): a key belongs to the next point on the circle, and a member that leaves
// gives away its own keys only. Hashes are the same in every process. Immutable.
type Ring struct {
	hashes []uint64 // ascending
	owner  []int32
}

// NewRing returns the ring of members named by keys; weights are at least 1.
func NewRing(keys []string, weights []int) *Ring {
	sum := 0
	for _, w := range weights {
		sum += w
	}
	type point struct {
		hash  uint64
		owner int32
	}
	points := make([]point, 0, ringPoints)
	for i, k := range keys {
		b := append([]byte(k), 0, 0, 0, 0)
		for p := range max(leastPoints, ringPoints*weights[i]/sum) {
			binary.LittleEndian.PutUint32(b[len(k):], uint32(p))
			points = append(points, point{xxhash.Sum64(b), int32(i)})
		}
	}
	slices.SortFunc(points, func(a, b point) int {
		switch {
		case a.hash < b.hash:
			return -1
		case a.hash > b.hash:
			return 1
		}
		return int(a.owner - b.owner)
	})
	r := &Ring{hashes: make([]uint64, len(points)), owner: make([]int32, len(points))}
	for i, p := range points {
		r.hashes[i], r.owner[i] = p.hash, p.owner
	}
	return r
}

// Hash is where a key lies on the circle.
func Hash(key string) uint64 { return xxhash.Sum64String(key) }

// Walk offers the members in the order of the circle from hash on, each at least once, until one is accepted; -1: none
// was.
func (r *Ring) Walk(hash uint64, accept func(i int) bool) int {
	n := len(r.hashes)
	from := sort.Search(n, func(i int) bool { return r.hashes[i] >= hash })
	last := int32(-1)
	for j := range n {
		o := r.owner[(from+j)%n]
		if o == last {
			continue
		}
		if accept(int(o)) {
			return int(o)
		}
		last = o
	}
	return -1
}

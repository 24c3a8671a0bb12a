package balance

import (
	"slices"
	"sort"

	"github.com/cespare/xxhash/v2"
)

// Subset returns the indexes of at most n of keys, the same for one seed whatever the order, and such that one key
// coming or going changes at most one member: rendezvous hashing (gRFC A68). n 0 or at least len(keys): all.
func Subset(keys []string, seed uint64, n int) []int {
	all := make([]int, len(keys))
	for i := range all {
		all[i] = i
	}
	if n <= 0 || n >= len(keys) {
		return all
	}
	score := make([]uint64, len(keys))
	for i, k := range keys {
		d := xxhash.NewWithSeed(seed)
		_, _ = d.WriteString(k) // never fails, as hash.Hash says
		score[i] = d.Sum64()
	}
	sort.Slice(all, func(i, j int) bool {
		a, b := all[i], all[j]
		return score[a] < score[b] || (score[a] == score[b] && keys[a] < keys[b])
	})
	chosen := all[:n]
	slices.Sort(chosen) // in the order of keys
	return chosen
}

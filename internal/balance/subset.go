package balance

import (
	"slices"

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
	slices.SortFunc(all, func(a, b int) int {
		if score[a] != score[b] {
			if score[a] < score[b] {
				return -1
			}
			return 1
		}
		if keys[a] < keys[b] {
			return -1
		}
		return 1
	})
	chosen := all[:n]
	slices.Sort(chosen) // in the order of keys
	return chosen
}

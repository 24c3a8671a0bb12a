package balance

import (
	"fmt"
	"math"
	"slices"
	"testing"
)

func first(int) bool { return true }

func equal(n int) []int { return slices.Repeat([]int{1}, n) }

// TestFewKeysMove: when one of n leaves, its keys move and few others: at most 1.5/n in all.
func TestFewKeysMove(t *testing.T) {
	for _, n := range []int{2, 3, 10, 100, 1000} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			names := keys(n)
			before := NewRing(names, equal(n))
			gone := n / 2
			after := NewRing(slices.Delete(slices.Clone(names), gone, gone+1), equal(n-1))
			const asked = 50_000
			moved := 0
			for i := range asked {
				h := Hash(fmt.Sprint("key", i))
				a, b := before.Walk(h, first), after.Walk(h, first)
				if b >= gone {
					b++
				}
				if a != b {
					moved++
				}
			}
			if share := float64(moved) / asked; share > 1.5/float64(n) {
				t.Errorf("%.4f of the keys moved, want at most %.4f", share, 1.5/float64(n))
			}
		})
	}
}

// TestRingSharesFollowWeights within one per cent of all keys.
func TestRingSharesFollowWeights(t *testing.T) {
	for _, weights := range [][]int{{1, 1}, {1, 2, 3}, {10, 1, 1, 5}, equal(10)} {
		r := NewRing(keys(len(weights)), weights)
		got := make([]int, len(weights))
		const asked = 200_000
		for i := range asked {
			got[r.Walk(Hash(fmt.Sprint("key", i)), first)]++
		}
		sum := 0
		for _, w := range weights {
			sum += w
		}
		for i, w := range weights {
			if d := math.Abs(float64(got[i])/asked - float64(w)/float64(sum)); d > 0.01 {
				t.Errorf("%v: member %d has %.4f of the keys", weights, i, float64(got[i])/asked)
			}
		}
	}
}

func TestWalkOffersAllUntilOneIsAccepted(t *testing.T) {
	r := NewRing(keys(20), equal(20))
	seen := map[int]bool{}
	if i := r.Walk(Hash("x"), func(i int) bool { seen[i] = true; return false }); i != -1 || len(seen) != 20 {
		t.Errorf("Walk = %d after offering %d of 20", i, len(seen))
	}
	if i := r.Walk(math.MaxUint64, first); i < 0 {
		t.Error("no owner")
	}
	if i := NewRing(nil, nil).Walk(1, first); i != -1 {
		t.Errorf("an empty ring has the owner %d", i)
	}
}

// TestWalkGoesToWhoWouldOwnTheKey if those before had left.
func TestWalkGoesToWhoWouldOwnTheKey(t *testing.T) {
	for _, weights := range [][]int{equal(6), {5, 1, 3, 1, 2, 4}} {
		names := keys(len(weights))
		for n := range 200 {
			h := Hash(fmt.Sprint("key", n))
			var order []int
			if i := NewRing(names, weights).Walk(h, func(i int) bool { order = append(order, i); return false }); i != -1 {
				t.Fatalf("%v, key %d: %d, though nobody accepted", weights, n, i)
			}
			var want []int
			for len(want) < len(names) {
				want = append(want, ownerWithout(names, weights, want, h))
			}
			if !slices.Equal(order, want) {
				t.Fatalf("%v, key %d: offered to %v, want %v", weights, n, order, want)
			}
		}
	}
}

// ownerWithout is who owns hash on the ring of all but those gone.
func ownerWithout(names []string, weights, gone []int, hash uint64) int {
	var list []string
	var w, index []int
	for i, name := range names {
		if !slices.Contains(gone, i) {
			list, w, index = append(list, name), append(w, weights[i]), append(index, i)
		}
	}
	return index[NewRing(list, w).Walk(hash, first)]
}

func TestEqualWeightsNeedNoLogarithm(t *testing.T) {
	if NewRing(keys(3), equal(3)).weights != nil {
		t.Error("a ring of equal weights keeps them")
	}
}

func TestAliasFollowsWeights(t *testing.T) {
	if NewAlias([]int{3, 3, 3}) != nil || NewAlias(nil) != nil {
		t.Error("a table for equal weights: a uniform draw does")
	}
	for _, weights := range [][]int{{1, 3}, {1, 2, 3, 4}, {100, 1, 1}, {1, 1, 1, 1, 1, 1, 5}} {
		a := NewAlias(weights)
		got := make([]int, len(weights))
		const draws = 400_000
		for range draws {
			got[a.Draw()]++
		}
		sum := 0
		for _, w := range weights {
			sum += w
		}
		for i, w := range weights {
			want := float64(draws) * float64(w) / float64(sum)
			if d := math.Abs(float64(got[i]) - want); d > 6*math.Sqrt(want) {
				t.Errorf("%v: index %d was drawn %d times of %d, want about %.0f", weights, i, got[i], draws, want)
			}
		}
	}
}

package balance

import (
	"fmt"
	"math"
	"slices"
	"sync/atomic"
	"testing"
)

func TestTwoAreDistinctAndUniform(t *testing.T) {
	for _, n := range []int{2, 3, 10, 1000} {
		const draws = 200_000
		hits := make([]int, n)
		firstLower := 0
		for range draws {
			i, j := Two(n)
			if i == j || i < 0 || j < 0 || i >= n || j >= n {
				t.Fatalf("Two(%d) = %d, %d", n, i, j)
			}
			hits[i]++
			hits[j]++
			if i < j {
				firstLower++
			}
		}
		want := 2.0 * draws / float64(n)
		for i, h := range hits {
			if d := math.Abs(float64(h) - want); d > 6*math.Sqrt(want) {
				t.Errorf("Two(%d) drew %d in %d of %d draws, want about %.0f", n, i, h, draws, want)
			}
		}
		if d := math.Abs(float64(firstLower) - draws/2); d > 6*math.Sqrt(draws/2) {
			t.Errorf("Two(%d): the first was the lower one in %d of %d draws", n, firstLower, draws)
		}
	}
}

func TestTurns(t *testing.T) {
	rows := [][]int{
		{1}, {1, 1}, {1, 1, 1, 1, 1}, {3, 1}, {1, 2, 3}, {100, 1}, {0, -4, 2}, {7, 7, 7}, {10, 1, 1, 5, 2, 9},
		{1, 100, 50, 25, 12, 6, 3},
	}
	for _, weights := range rows {
		t.Run(fmt.Sprint(weights), func(t *testing.T) {
			turns, turn := NewTurns(weights), atomic.Uint64{}
			sum := 0
			for _, w := range weights {
				sum += max(1, w)
			}
			const rounds = 200
			got := make([]int, len(weights))
			for range rounds * sum {
				got[turns.Next(&turn)]++
			}
			for i, w := range weights {
				want := float64(rounds * max(1, w))
				if math.Abs(float64(got[i])-want) > 0.01*want {
					t.Errorf("index %d was taken %d times in %d, want %.0f", i, got[i], rounds*sum, want)
				}
			}
		})
	}
}

// TestTheOrderOfTurns is that of a static stride: of weight w, w passes in every most, and every other index half a range
// later, so that equal weights do not fall silent together.
func TestTheOrderOfTurns(t *testing.T) {
	rows := []struct{ weights, order []int }{
		{[]int{1, 1, 1}, []int{0, 1, 2}},
		{[]int{2, 1}, []int{0, 1, 0}},
		{[]int{3, 1}, []int{0, 0, 1, 0}},
		{[]int{1, 1, 4}, []int{2, 1, 2, 2, 0, 2}},
		{[]int{2, 3, 4}, []int{1, 2, 0, 1, 2, 2, 0, 1, 2}},
	}
	for _, row := range rows {
		turns, turn := NewTurns(row.weights), atomic.Uint64{}
		var got []int
		for range 2 * len(row.order) {
			got = append(got, turns.Next(&turn))
		}
		if want := slices.Repeat(row.order, 2); !slices.Equal(got, want) {
			t.Errorf("%v: %v, want %v", row.weights, got, want)
		}
	}
}

func TestTurnsAreSpread(t *testing.T) {
	turns, turn := NewTurns([]int{4, 1}), atomic.Uint64{}
	row, most := 0, 0
	for range 1000 {
		if turns.Next(&turn) == 0 {
			row++
			most = max(most, row)
		} else {
			row = 0
		}
	}
	if most > 5 {
		t.Errorf("an endpoint of weight 4 beside one of weight 1 had %d turns in a row", most)
	}
}

func TestTurnsOfNothing(t *testing.T) {
	var turn atomic.Uint64
	if i := NewTurns(nil).Next(&turn); i != -1 {
		t.Errorf("Next = %d, want -1", i)
	}
}

func keys(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("10.0.%d.%d:8080", i/256, i%256)
	}
	return list
}

func members(list []string, seed uint64, n int) []string {
	var m []string
	for _, i := range Subset(list, seed, n) {
		m = append(m, list[i])
	}
	return m
}

// without counts the members of a that b lacks.
func without(a, b []string) int {
	return len(slices.DeleteFunc(slices.Clone(a), func(s string) bool { return slices.Contains(b, s) }))
}

func TestSubsetChangesAtMostOneMember(t *testing.T) {
	all := keys(300)
	for seed := range uint64(20) {
		before := members(all, seed, 100)
		if len(before) != 100 {
			t.Fatalf("%d members, want 100", len(before))
		}
		for i := 0; i < len(all); i += 7 {
			less := slices.Delete(slices.Clone(all), i, i+1)
			after := members(less, seed, 100)
			if n := without(before, after); n > 1 || (n == 1) != slices.Contains(before, all[i]) {
				t.Fatalf("seed %d: %s left, and %d members changed", seed, all[i], n)
			}
			if n := without(after, before); n > 1 {
				t.Fatalf("seed %d: %s left, and %d members came", seed, all[i], n)
			}
		}
	}
}

func TestSubsetIsTheSameInAnyOrder(t *testing.T) {
	all := keys(50)
	turned := slices.Clone(all)
	slices.Reverse(turned)
	a, b := members(all, 7, 10), members(turned, 7, 10)
	slices.Sort(a)
	slices.Sort(b)
	if !slices.Equal(a, b) {
		t.Errorf("%v in one order, %v in the other", a, b)
	}
	if !slices.IsSorted(Subset(all, 7, 10)) {
		t.Error("the chosen are not in the order of the keys")
	}
}

// TestSubsetOutlivesReleases: another choice for the same seed would make every client connect anew when it is deployed.
func TestSubsetOutlivesReleases(t *testing.T) {
	for seed, want := range [][]int{{6, 8, 9}, {1, 5, 9}, {0, 4, 7}} {
		if got := Subset(keys(10), uint64(seed), 3); !slices.Equal(got, want) {
			t.Errorf("seed %d: %v, want %v", seed, got, want)
		}
	}
}

func TestSubsetOfAll(t *testing.T) {
	for _, n := range []int{0, -1, 3, 4} {
		if got := Subset(keys(3), 1, n); !slices.Equal(got, []int{0, 1, 2}) {
			t.Errorf("Subset of %d = %v", n, got)
		}
	}
}

func TestSubsetsOfManySeedsAreEven(t *testing.T) {
	all := keys(100)
	hits := make([]int, len(all))
	const seeds = 5000
	for seed := range uint64(seeds) {
		for _, i := range Subset(all, seed, 10) {
			hits[i]++
		}
	}
	for i, h := range hits {
		if want := seeds / 10.0; math.Abs(float64(h)-want) > 6*math.Sqrt(want) {
			t.Errorf("%s is in %d subsets of %d, want about %.0f", all[i], h, seeds, want)
		}
	}
}

package health

import (
	"fmt"
	"math"
	"testing"

	"github.com/onehop-go/onehop/resolver"
)

// TestPicksSpillOver: of a zone with two thirds of what its callers need, a third of the calls go to the one that has more,
// in each datacenter alike.
func TestPicksSpillOver(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		set := settings()
		set.Zone = "a"
		w.Configure(set)
		var list []resolver.Endpoint
		for i, zone := range []string{"a", "a", "b", "b", "b", "b", "c", "c", "c"} {
			list = append(list, resolver.Endpoint{Addr: fmt.Sprintf("e%d:80", i), Zone: zone})
		}
		w.Update(Now(), Tier{Members: list, Missing: 9}, Tier{Members: list}) // half is critical: 0.7 stay
		const calls = 40_000
		seen := map[string]float64{}
		for range calls {
			place := w.Place()
			e, _ := w.Pick(Now(), w.View(), Want{Place: place})
			seen[fmt.Sprint(place, e.Info().Zone)] += 1.0 / calls
		}
		for where, want := range map[string]float64{"0a": .7 * 2 / 3, "0b": .7 / 3, "0c": 0, "1a": .3 * 2 / 3, "1b": .3 / 3, "1c": 0} {
			if math.Abs(seen[where]-want) > .015 {
				w.t.Errorf("%s: %.3f of the calls, want %.3f", where, seen[where], want)
			}
		}
	})
}

// TestBreakersHoldInEachDatacenter: who is avoided is avoided there too, and where all are the whole list is used: a
// datacenter is not left because it answers badly.
func TestBreakersHoldInEachDatacenter(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		t := w.t
		w.Update(Now(), Tier{Members: members(3)}, Tier{Members: members(3)})
		own := w.View().All[:3]
		picks := func() map[*Endpoint]int {
			seen := map[*Endpoint]int{}
			for range 300 {
				e, _ := w.Pick(Now(), w.View(), Want{Place: w.Place()})
				seen[e]++
			}
			return seen
		}
		w.open(Now(), own[0], nil)
		if seen := picks(); seen[own[0]] != 0 || seen[own[1]]+seen[own[2]] != 300 {
			t.Errorf("%d picks of the avoided one, %d of its peers", seen[own[0]], seen[own[1]]+seen[own[2]])
		}
		for _, e := range own[1:] {
			w.open(Now(), e, nil)
		}
		seen := picks()
		for _, e := range own {
			if seen[e] == 0 {
				t.Errorf("%s is not picked though all are avoided", e.Addr())
			}
		}
		if n := seen[own[0]] + seen[own[1]] + seen[own[2]]; n != 300 {
			t.Errorf("%d of 300 picks in a datacenter that can be connected to", n)
		}
	})
}

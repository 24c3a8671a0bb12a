package health

import (
	"math"
	"testing"
	"time"

	"github.com/onehop-go/onehop/policy"
	"github.com/onehop-go/onehop/resolver"
)

// zoned makes endpoints in zones by their numbers.
func zoned(counts map[string]int) []*Endpoint {
	var list []*Endpoint
	for zone, n := range counts {
		for i := range n {
			m := members(i + 1)[i]
			m.Zone = zone
			list = append(list, newEndpoint(&m, 0))
		}
	}
	return list
}

func TestByZone(t *testing.T) {
	prefer := policy.Default().LoadBalancing
	rows := []struct {
		name   string
		counts map[string]int
		own    string
		lb     func(*policy.LoadBalancing)
		local  float64 // share of the own zone; 1 with all: zones play no part
		all    bool
	}{
		{"capacity as callers: at home", map[string]int{"a": 3, "b": 3}, "a", nil, 1, false},
		{"more than callers: at home", map[string]int{"a": 6, "b": 3}, "a", nil, 1, false},
		{"less: the rest spills over", map[string]int{"a": 2, "b": 6}, "a", nil, 0.5, false},
		{"three zones", map[string]int{"a": 2, "b": 4, "c": 6}, "a", nil, 0.5, false},
		{"five are too few", map[string]int{"a": 2, "b": 3}, "a", nil, 1, true},
		{"six are not", map[string]int{"a": 3, "b": 3}, "b", nil, 1, false},
		{"one alone at home would be a single point of failure", map[string]int{"a": 1, "b": 5}, "a", nil, 1, true},
		{"two are not", map[string]int{"a": 2, "b": 4}, "a", nil, 2.0 / 3, false},
		{"one zone only", map[string]int{"a": 8}, "a", nil, 1, true},
		{"own zone unknown", map[string]int{"a": 4, "b": 4}, "", nil, 1, true},
		{"nobody at home", map[string]int{"b": 4, "c": 4}, "a", nil, 1, true},
		{"not wanted", map[string]int{"a": 4, "b": 4}, "a", func(lb *policy.LoadBalancing) { lb.PreferLocalZone = false }, 1, true},
		{"keys have owners", map[string]int{"a": 4, "b": 4}, "a", func(lb *policy.LoadBalancing) { lb.Algorithm = policy.RingHash }, 1, true},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			lb := prefer
			if row.lb != nil {
				row.lb(&lb)
			}
			list := zoned(row.counts)
			zones := byZone(list, row.own, &lb)
			near(t, "local share", zones[0].share, row.local)
			sum := 0.0
			for _, z := range zones {
				sum += z.share
			}
			near(t, "sum of shares", sum, 1)
			if all := len(zones[0].endpoints) == len(list); all != row.all {
				t.Errorf("all zones alike: %v, want %v", all, row.all)
			}
			if !row.all && len(zones[0].endpoints) != row.counts[row.own] {
				t.Errorf("%d endpoints at home, want %d", len(zones[0].endpoints), row.counts[row.own])
			}
		})
	}
}

// TestSpillOverFollowsSpareCapacity: of three zones the own has less than its callers, and the others their spare.
func TestSpillOverFollowsSpareCapacity(t *testing.T) {
	lb := policy.Default().LoadBalancing
	zones := byZone(zoned(map[string]int{"a": 2, "b": 8, "c": 5}), "a", &lb) // spare: b 8/15-1/3, c none
	if len(zones) != 2 {
		t.Fatalf("%d zones, want home and the one with capacity to spare", len(zones))
	}
	near(t, "home", zones[0].share, 2.0/15*3)
	if zones[1].endpoints[0].Info().Zone != "b" {
		t.Error("spilled over to a zone without capacity to spare")
	}
}

func TestZonesWeigh(t *testing.T) {
	lb := policy.Default().LoadBalancing
	list := zoned(map[string]int{"a": 2, "b": 4})
	for _, e := range list {
		if e.Info().Zone == "a" {
			m := *e.Info()
			m.Weight = 2
			e.describe(&m)
		}
	}
	near(t, "two of weight 2 are half of the capacity", byZone(list, "a", &lb)[0].share, 1)
}

// TestPicksFollowTheShares of zones and datacenters.
func TestPicksFollowTheShares(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		t := w.t
		set := settings()
		set.Zone = "a"
		w.Configure(set)
		var list []resolver.Endpoint
		for i, m := range members(8) {
			if m.Zone = "b"; i < 2 {
				m.Zone = "a"
			}
			list = append(list, m)
		}
		w.Update(Now(), Tier{Members: list})
		const picks = 20_000
		home := 0
		for range picks {
			e, _ := w.Pick(Now(), w.View(), Want{})
			if e.Info().Zone == "a" {
				home++
			}
		}
		if share := float64(home) / picks; math.Abs(share-0.5) > 0.02 {
			t.Errorf("%.3f of the picks are at home, want .5", share)
		}
	})
}

func TestSharesOf(t *testing.T) {
	rows := []struct {
		name    string
		healths []float64
		want    []float64
	}{
		{"all well: at home", []float64{1, 1}, []float64{1, 0}},
		{"well enough: 1/1.4 suffices", []float64{1 / 1.4, 1}, []float64{1, 0}},
		{"half: seven tenths at home", []float64{0.5, 1}, []float64{0.7, 0.3}},
		{"nothing at home", []float64{0, 1}, []float64{0, 1}},
		{"in their order", []float64{0.25, 0.25, 1}, []float64{0.35, 0.35, 0.3}},
		{"all half dead: each its part", []float64{0.25, 0.25}, []float64{0.5, 0.5}},
		{"nobody is well: at home", []float64{0, 0}, []float64{1, 0}},
		{"one alone", []float64{0.1}, []float64{1}},
	}
	for _, row := range rows {
		got := sharesOf(row.healths)
		for i, want := range row.want {
			near(t, row.name, got[i], want)
		}
	}
}

func TestRecovery(t *testing.T) {
	s := time.Second
	r := recovery{health: 1}
	step := func(at time.Duration, measured, want float64) int64 {
		t.Helper()
		next := r.step(time.Hour+at, measured)
		near(t, at.String(), r.health, want)
		return next
	}
	if next := step(0, 0.4, 0.4); next != never {
		t.Error("down at once, and nothing to wait for")
	}
	if next := step(s, 0.4, 0.4); next != never {
		t.Error("no better, and a step is due")
	}
	if next := step(5*s, 0.9, 0.4); next != int64(time.Hour+15*s+s) {
		t.Errorf("next step at %v, want a second after ten of being better", time.Duration(next)-time.Hour)
	}
	step(15*s, 0.9, 0.4)
	step(16*s, 0.9, 0.5)
	step(18*s, 0.9, 0.7)
	step(19*s, 0.6, 0.6) // down at once, and all begins anew
	step(20*s, 0.9, 0.6)
	step(30*s, 0.9, 0.6)
	if next := step(40*s, 0.9, 0.9); next != never {
		t.Error("well again, and still a step is due")
	}
}

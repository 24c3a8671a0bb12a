package membership

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/onehop-go/onehop/resolver"
)

var statuses = []resolver.Status{"", resolver.Passing, resolver.Warning, resolver.Critical, resolver.Maintenance}

func drawSnapshot(t *rapid.T) resolver.Snapshot {
	return resolver.Snapshot{Endpoints: rapid.SliceOfN(rapid.Custom(func(t *rapid.T) resolver.Endpoint {
		return resolver.Endpoint{
			Addr:   rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "f", "g", "h"}).Draw(t, "addr"),
			ID:     rapid.SampledFrom([]string{"", "1"}).Draw(t, "id"),
			Status: rapid.SampledFrom(statuses).Draw(t, "status"),
		}
	}), 0, 16).Draw(t, "endpoints")}
}

func keys(members []Member, held bool) []Key {
	var ks []Key
	for _, m := range members {
		if m.Held == held {
			ks = append(ks, KeyOf(m.Endpoint))
		}
	}
	return ks
}

// TestSetHolds drives a Set by random snapshots, refusals and pauses.
func TestSetHolds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s Set
		now := start
		gone := map[Key]time.Time{} // since when the catalogue does not list it
		var last resolver.Snapshot
		t.Repeat(map[string]func(*rapid.T){
			"apply": func(t *rapid.T) {
				before, settled := s.Members(), s.settled
				last = drawSnapshot(t)
				s.Apply(now, last)
				listed, passing := split(last.Endpoints)
				for k := range listed {
					delete(gone, k)
				}
				for _, m := range before {
					k := KeyOf(m.Endpoint)
					if _, ok := listed[k]; !ok && gone[k].IsZero() {
						gone[k] = now
					}
				}
				if 2*len(passing) >= settled && len(keys(s.Members(), true)) > 0 {
					t.Fatalf("%d of %d pass, and some are held", len(passing), settled)
				}
				for _, m := range before {
					k := KeyOf(m.Endpoint)
					_, isPassing := passing[k]
					lost := !isPassing && listed[k].Status != resolver.Maintenance && 2*len(passing) < settled
					expired := !gone[k].IsZero() && now.Sub(gone[k]) >= GoneFor
					if lost && !expired && !slices.Contains(keys(s.Members(), true), k) {
						t.Fatalf("%v is lost with %d of %d passing, and not held", k, len(passing), settled)
					}
				}
			},
			"refused": func(t *rapid.T) {
				members := s.Members()
				if len(members) == 0 {
					t.Skip()
				}
				m := rapid.SampledFrom(members).Draw(t, "member")
				if changed := s.Refused(now, KeyOf(m.Endpoint)); changed != m.Held {
					t.Fatalf("refused: held %v, changed %v", m.Held, changed)
				}
				if m.Held && slices.Contains(keys(s.Members(), true), KeyOf(m.Endpoint)) {
					t.Fatal("refused, and still held")
				}
			},
			"wait": func(t *rapid.T) {
				now = now.Add(time.Duration(rapid.IntRange(0, 40).Draw(t, "seconds")) * time.Second)
				s.Tick(now)
			},
			"": func(t *rapid.T) {
				_, passing := split(last.Endpoints)
				if got := keys(s.Members(), false); len(got) != len(passing) {
					t.Fatalf("%d passing members of %d passing", len(got), len(passing))
				}
				for _, k := range keys(s.Members(), false) {
					if _, ok := passing[k]; !ok {
						t.Fatalf("%v is used and neither passing nor held", k)
					}
				}
				held := keys(s.Members(), true)
				for _, k := range held {
					if since := gone[k]; !since.IsZero() && now.Sub(since) >= GoneFor {
						t.Fatalf("%v is held %v after it was gone", k, now.Sub(since))
					}
				}
				if len(held) == 0 && s.settled != len(passing) {
					t.Fatalf("nobody is held, settled at %d of %d", s.settled, len(passing))
				}
				if at, ok := s.Next(); ok && !at.After(now) {
					t.Fatal("Next lies in the past")
				}
			},
		})
	})
}

package health

import (
	"testing"

	"github.com/onehop-go/onehop/policy"
)

// TestAHashedEndpointIsLoadedToItsBound: calls of one key go to its owner, the first few whatever else is in flight, and
// in all a quarter more than the owner's share.
func TestAHashedEndpointIsLoadedToItsBound(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		set := settings()
		set.LoadBalancing.Algorithm = policy.RingHash
		w.Configure(set)
		list := members(10)
		list[3].Weight = 5
		w.Update(Now(), Tier{Members: list})
		const hash, calls = 4711, 140
		owner, _ := w.Pick(Now(), w.View(), Want{Hash: hash})
		seen := map[*Endpoint]int{}
		for n := 1; n <= calls; n++ {
			e, _ := w.Pick(Now(), w.View(), Want{Hash: hash})
			e.Begin(false)
			if seen[e]++; n <= 2 && e != owner {
				t.Errorf("call %d of the key left its owner", n)
			}
		}
		for e, n := range seen {
			share := float64(calls) / 14 * float64(max(1, e.Info().Weight))
			if most := 1.25*share + 2 + 1; float64(n) > most {
				t.Errorf("%d calls in flight at an endpoint of weight %d, want at most %.1f", n, e.Info().Weight, most)
			}
			if e == owner && float64(n) < 1.25*share {
				t.Errorf("the owner has %d calls in flight, its bound is %.1f", n, 1.25*share)
			}
		}
	})
}

// TestWhoStandsInForAnOwner: where its key goes for one call, whichever of two owns it.
func TestWhoStandsInForAnOwner(t *testing.T) {
	busy := func(e *Endpoint, calls int32) { e.inflight.Store(calls) }
	rows := []struct {
		name   string
		change func(owner, other *Endpoint) (tried []*Endpoint)
		stays  bool
	}{
		{"at rest", func(_, _ *Endpoint) []*Endpoint { return nil }, true},
		// One call more makes 7 in flight, 3.5 for each: 6 are below 1.25 of that and 2.
		{"below its bound", func(owner, _ *Endpoint) []*Endpoint { busy(owner, 6); return nil }, true},
		{"at its bound", func(owner, _ *Endpoint) []*Endpoint { busy(owner, 7); return nil }, false},
		{"a busy other raises it", func(owner, other *Endpoint) []*Endpoint { busy(owner, 7); busy(other, 1); return nil }, true},
		{"it asked for a pause", func(owner, _ *Endpoint) []*Endpoint { owner.Pause(Now() + 1); return nil }, false},
		{"both did", func(owner, other *Endpoint) []*Endpoint { owner.Pause(Now() + 1); other.Pause(Now() + 2); return nil }, true},
		{"it was tried", func(owner, _ *Endpoint) []*Endpoint { return []*Endpoint{owner} }, false},
		{"the other was", func(_, other *Endpoint) []*Endpoint { return []*Endpoint{other} }, true},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			owned := map[string]int{}
			for hash := range uint64(20) {
				inWorld(t, 2, func(w *world) {
					w.balance(policy.RingHash)
					want := Want{Hash: hash + 1}
					owner, _ := w.Pick(Now(), w.View(), want)
					other := w.e(0)
					if other == owner {
						other = w.e(1)
					}
					owned[owner.Addr()]++
					want.Tried = row.change(owner, other)
					if e, _ := w.Pick(Now(), w.View(), want); (e == owner) != row.stays {
						w.t.Errorf("hash %d: went to its owner %s: %v, want %v", want.Hash, owner.Addr(), e == owner, row.stays)
					}
				})
			}
			if len(owned) != 2 {
				t.Error("one endpoint owns all keys: the row says nothing of the other")
			}
		})
	}
}

func TestAnOpenBreakerMovesItsOwnKeysOnly(t *testing.T) {
	inWorld(t, 4, func(w *world) {
		w.balance(policy.RingHash)
		owners := map[uint64]*Endpoint{}
		for hash := range uint64(200) {
			owners[hash+1], _ = w.Pick(Now(), w.View(), Want{Hash: hash + 1})
		}
		w.open(Now(), w.e(1), nil)
		moved := map[*Endpoint]int{}
		for hash, owner := range owners {
			e, _ := w.Pick(Now(), w.View(), Want{Hash: hash})
			if (e != owner) != (owner == w.e(1)) {
				w.t.Errorf("a key of %s went to %s", owner.Addr(), e.Addr())
			}
			if e != owner {
				moved[e]++
			}
		}
		if len(moved) != 3 {
			w.t.Errorf("its keys went to %d endpoints, want all of the 3 others", len(moved))
		}
	})
}

func TestAKeyWhoseEndpointsWereAllTriedIsStillServed(t *testing.T) {
	inWorld(t, 3, func(w *world) {
		w.balance(policy.RingHash)
		for hash := range uint64(50) {
			want := Want{Hash: hash + 1, Tried: w.View().All}
			e, _ := w.Pick(Now(), w.View(), want)
			again, _ := w.Pick(Now(), w.View(), want)
			if e == nil || e != again {
				w.t.Fatalf("hash %d: %v, then %v", want.Hash, e, again)
			}
		}
	})
}

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
			if seen[e]++; n <= loadChance && e != owner {
				t.Errorf("call %d of the key left its owner", n)
			}
		}
		for e, n := range seen {
			share := float64(calls) / 14 * float64(max(1, e.Info().Weight))
			if most := loadBound*share + loadChance + 1; float64(n) > most {
				t.Errorf("%d calls in flight at an endpoint of weight %d, want at most %.1f", n, e.Info().Weight, most)
			}
			if e == owner && float64(n) < loadBound*share {
				t.Errorf("the owner has %d calls in flight, its bound is %.1f", n, loadBound*share)
			}
		}
	})
}

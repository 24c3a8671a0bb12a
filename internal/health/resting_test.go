package health

import (
	"testing"
	"time"

	"github.com/onehop-go/onehop/policy"
)

// TestOneThatAskedForAPauseIsLeftAlone by every algorithm, as long as another has not asked for one.
func TestOneThatAskedForAPauseIsLeftAlone(t *testing.T) {
	for _, algorithm := range []policy.Algorithm{policy.P2CEWMA, policy.LeastRequest, policy.RoundRobin, policy.RingHash} {
		t.Run(string(algorithm), func(t *testing.T) {
			inWorld(t, 0, func(w *world) {
				set := settings()
				set.LoadBalancing.Algorithm = algorithm
				w.Configure(set)
				list := members(3)
				list[0].Weight = 8
				w.Update(Now(), Tier{Members: list})
				share := func() map[*Endpoint]int {
					seen := map[*Endpoint]int{}
					for n := range uint64(9000) {
						e, _ := w.Pick(Now(), w.View(), Want{Hash: n*0x9E3779B97F4A7C15 + 1})
						seen[e]++
					}
					return seen
				}
				w.e(0).Pause(Now() + time.Second)
				seen := share()
				if seen[w.e(0)] > 0 {
					t.Errorf("called %d times in its pause", seen[w.e(0)])
				}
				if a, b := seen[w.e(1)], seen[w.e(2)]; a > b*3/2 || b > a*3/2 {
					t.Errorf("the others stand in for it unevenly: %d and %d", a, b)
				}
				if rest := w.View().Rest(Now()); rest != 0 {
					t.Errorf("two are ready, and calls must wait %v", rest)
				}
				w.e(1).Pause(Now() + time.Minute)
				w.e(2).Pause(Now() + time.Minute)
				if rest := w.View().Rest(Now()); rest != time.Second {
					t.Errorf("all rest, the first of them for a second, and calls must wait %v", rest)
				}
				if n := len(share()); n == 0 {
					t.Error("with all at rest nobody is picked")
				}
				time.Sleep(time.Second)
				if share()[w.e(0)] == 0 || w.View().Rest(Now()) != 0 {
					t.Error("its pause is over, and it is not called")
				}
			})
		})
	}
}

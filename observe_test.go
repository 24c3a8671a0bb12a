package onehop_test

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/onehop-go/onehop"
	"github.com/onehop-go/onehop/internal/consultest"
	"github.com/onehop-go/onehop/policy"
)

// A breaker that opens is told in each mode, and obeyed in enforce only.
func TestModesTellOfBreakers(t *testing.T) {
	for _, row := range []struct {
		mode    policy.Mode
		applied bool
	}{{policy.Enforce, true}, {policy.Observe, false}, {policy.Bypass, false}} {
		t.Run(string(row.mode), func(t *testing.T) {
			var opened, applied atomic.Int64
			o := onehop.Observer{Decided: func(_ context.Context, d onehop.Decision) {
				if d.Action == "open" {
					opened.Add(1)
					if d.Applied {
						applied.Add(1)
					}
				}
			}}
			p := policy.Default()
			p.Mode = row.mode
			p.LoadBalancing.Algorithm = policy.RoundRobin // which would come by again
			live, dead := startInstance(t), consultest.Addr(t)
			hop := newClient(t, p, []string{live.addr(), dead}, onehop.WithObserver(o))
			failed := 0
			for range 200 {
				was := opened.Load() > 0
				if _, err := onehop.Do(t.Context(), hop.Upstream("pay"), asking); err != nil && was {
					failed++ // though it is known to be dead
				}
			}
			if opened.Load() == 0 || (applied.Load() == opened.Load()) != row.applied {
				t.Errorf("%d openings told, %d applied", opened.Load(), applied.Load())
			}
			if row.applied && failed > 0 || !row.applied && failed == 0 {
				t.Errorf("%d of 200 calls failed at the dead instance after it was opened", failed)
			}
		})
	}
}

package health

import (
	"math"
	"testing"
	"time"

	"github.com/onehop-go/onehop/policy"
)

// TestLeastRequestKnowsNoLatency: of two draws the one with less in flight for its weight wins, slow or not.
func TestLeastRequestKnowsNoLatency(t *testing.T) {
	rows := []struct {
		name             string
		algorithm        policy.Algorithm
		weights, running [2]int
		took             [2]time.Duration
		want             float64 // the first one's share of the picks
	}{
		{"equal", policy.LeastRequest, [2]int{1, 1}, [2]int{0, 0}, [2]time.Duration{time.Second, time.Millisecond}, .5},
		{"the slow one is idle", policy.LeastRequest, [2]int{1, 1}, [2]int{0, 1}, [2]time.Duration{time.Second, time.Millisecond}, 1},
		{"the fast one is", policy.LeastRequest, [2]int{1, 1}, [2]int{1, 0}, [2]time.Duration{time.Second, time.Millisecond}, 0},
		{"p2c_ewma sees the latency", policy.P2CEWMA, [2]int{1, 1}, [2]int{0, 1}, [2]time.Duration{time.Second, time.Millisecond}, 0},
		// Draws are by weight: .8 and .2. Only who is drawn twice is not compared: .64 and .04.
		{"less in flight for its weight", policy.LeastRequest, [2]int{4, 1}, [2]int{3, 1}, [2]time.Duration{time.Second, time.Millisecond}, .96},
		{"more in flight for its weight", policy.LeastRequest, [2]int{4, 1}, [2]int{5, 1}, [2]time.Duration{time.Millisecond, time.Second}, .64},
		{"at rest the weights alone", policy.LeastRequest, [2]int{4, 1}, [2]int{0, 0}, [2]time.Duration{time.Second, time.Millisecond}, .8},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			inWorld(t, 0, func(w *world) {
				set := settings()
				set.LoadBalancing.Algorithm = row.algorithm
				w.Configure(set)
				list := members(2)
				for i := range list {
					list[i].Weight = row.weights[i]
				}
				w.Update(Now(), Tier{Members: list})
				for i, took := range row.took {
					w.Report(w.e(i), Report{Outcome: OK, Start: Now() - took, Now: Now()})
					for range row.running[i] {
						w.e(i).Begin(false)
					}
				}
				const picks = 20_000
				first := 0
				for range picks {
					if e, _ := w.Pick(Now(), w.View(), Want{}); e == w.e(0) {
						first++
					}
				}
				if got := float64(first) / picks; math.Abs(got-row.want) > .02 {
					w.t.Errorf("%.3f of the picks, want %.2f", got, row.want)
				}
			})
		})
	}
}

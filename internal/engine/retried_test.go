package engine

import (
	"slices"
	"testing"

	"github.com/onehop-go/onehop/internal/health"
	"github.com/onehop-go/onehop/policy"
)

// TestLayersDoNotMultiply: a call that its own caller marked as a retry is not repeated where the service is overloaded.
func TestLayersDoNotMultiply(t *testing.T) {
	pushback := step{Result: Result{Outcome: health.Pushback, Answer: true, Status: 429, Code: 8}, take: 10 * ms}
	exhausted := func(p *policy.Policy) {
		p.Retry.When = append(slices.Clone(p.Retry.When), "RESOURCE_EXHAUSTED")
	}
	hedging := func(p *policy.Policy) { p.Hedge = 0.05 }
	rows := []struct {
		name    string
		policy  func(*policy.Policy)
		retried bool
		steps   []step
		wire    int
	}{
		{"503 to a first attempt", nil, false, []step{unavailable, good}, 2},
		{"503 to a retry", nil, true, []step{unavailable, good}, 1},
		{"pushback to a first attempt", exhausted, false, []step{pushback, good}, 2},
		{"pushback to a retry", exhausted, true, []step{pushback, good}, 1},
		{"what says nothing of load is made up for", nil, true, []step{reset, good}, 2},
		{"a 503 fires the hedge of a first attempt", hedging, false, []step{unavailable, good}, 2},
		{"but not of a retry", hedging, true, []step{unavailable, good}, 1},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			inService(t, 10, row.policy, func(u *service) {
				t := u.t
				if u.Policy().Hedge > 0 {
					warm(t, u)
				}
				p := get(row.steps...)
				p.Retried = row.retried
				r := u.call(t.Context(), p)
				if last := row.steps[row.wire-1]; p.wire() != row.wire || r.status != last.Status {
					t.Errorf("%d on the wire, status %d (%v); want %d and the last one's answer", p.wire(), r.status, r.err, row.wire)
				}
			})
		})
	}
}

package health

import (
	"math"
	"testing"
	"time"
)

// TestLatenciesAreComparedAtOneInstant: of two averages only what one decays more than the other tells them apart, and one
// whose last answer was bad does not decay.
func TestLatenciesAreComparedAtOneInstant(t *testing.T) {
	type past struct {
		latency float64
		age     time.Duration
		failed  bool // with its last answer
		since   bool // it answered well since a failure
	}
	const now, old = time.Hour, 10 * time.Second
	rows := []struct {
		name string
		a, b past
		want float64 // a's by b's
	}{
		{"of one age", past{latency: 0.3}, past{latency: 0.1}, 3},
		{"the older one has decayed", past{latency: 0.1, age: old}, past{latency: 0.1}, 1 / math.E},
		{"the other", past{latency: 0.1}, past{latency: 0.1, age: old}, math.E},
		{"neither was measured", past{}, past{}, 1},
		{"one was not: taken to be like the other", past{}, past{latency: 0.7}, 1},
		{"nor here", past{latency: 0.7}, past{}, 1},
		{"the older one failed last", past{latency: 0.1, age: old, failed: true}, past{latency: 0.1}, 1},
		{"here as well", past{latency: 0.1}, past{latency: 0.1, age: old, failed: true}, 1},
		{"the younger one failed last", past{latency: 0.1, age: old}, past{latency: 0.1, failed: true}, 1 / math.E},
		{"and here", past{latency: 0.1, failed: true}, past{latency: 0.1, age: old}, math.E},
		{"both failed last", past{latency: 0.1, age: old, failed: true}, past{latency: 0.1, failed: true}, 1},
		{"it failed, and has answered since", past{latency: 0.1, age: old, since: true}, past{latency: 0.1}, 1 / math.E},
	}
	endpoint := func(p past) *Endpoint {
		e := newEndpoint(&members(1)[0], 0)
		at := millis(now - p.age)
		if p.latency > 0 {
			e.latency.sample(at, p.latency)
		}
		if p.failed || p.since {
			e.failures.add(at, 1)
		}
		if p.failed {
			e.consec.Store(1)
		}
		return e
	}
	for _, row := range rows {
		la, lb := latencies(endpoint(row.a), endpoint(row.b))
		near(t, row.name, la/lb, row.want)
	}
}

func TestOfTwoThatCostTheSameTheFirstDrawIsTaken(t *testing.T) {
	s := NewSet(Env{}, settings())
	a, b := newEndpoint(&members(2)[0], 0), newEndpoint(&members(2)[1], 0)
	if s.cheaper(time.Hour, s.View(), a, b) != a || s.cheaper(time.Hour, s.View(), b, a) != b {
		t.Error("the second draw was taken")
	}
}

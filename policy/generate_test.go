package policy

import (
	"fmt"
	"time"

	"pgregory.net/rapid"
)

// valid draws any Policy that validates.
func valid(t *rapid.T) Policy {
	p := Policy{
		Mode:           rapid.SampledFrom([]Mode{Enforce, Observe, Bypass}).Draw(t, "mode"),
		Settings:       validSettings(t),
		ConnectTimeout: validDuration(t, true),
		Budget:         Budget{Ratio: rapid.Float64Range(0, 0.2).Draw(t, "ratio"), Min: rapid.IntRange(0, 100).Draw(t, "min")},
		CircuitBreaker: CircuitBreaker{
			ConsecutiveFailures: rapid.IntRange(0, 1000).Draw(t, "consecutive"),
			FailureRatio:        rapid.Float64Range(0, 1).Draw(t, "failure ratio"),
			MinRequests:         rapid.IntRange(1, 10_000).Draw(t, "min requests"),
			Window:              validDuration(t, false),
			OpenFor:             validDuration(t, false),
			MaxOpenFor:          validDuration(t, false),
		},
		Overload: rapid.Bool().Draw(t, "overload"),
		LoadBalancing: LoadBalancing{
			Algorithm:       rapid.SampledFrom([]Algorithm{P2CEWMA, LeastRequest, RoundRobin, RingHash}).Draw(t, "algorithm"),
			SlowStart:       validDuration(t, true),
			PreferLocalZone: rapid.Bool().Draw(t, "zone"),
			Subset:          rapid.IntRange(0, 10_000).Draw(t, "subset"),
		},
		Failover: Failover{Datacenters: rapid.SliceOfN(rapid.StringMatching(`[A-Za-z0-9_-]{1,64}`), 0, 16).Draw(t, "datacenters")},
	}
	b := &p.CircuitBreaker
	b.OpenFor, b.MaxOpenFor = min(b.OpenFor, b.MaxOpenFor), max(b.OpenFor, b.MaxOpenFor)
	for i := range rapid.IntRange(0, 4).Draw(t, "routes") {
		p.Routes = append(p.Routes, Route{
			Name:       fmt.Sprintf("route-%d", i),
			Match:      validMatch(t),
			Idempotent: rapid.Bool().Draw(t, "idempotent"),
			Settings:   validSettings(t),
		})
	}
	return p
}

func validSettings(t *rapid.T) Settings {
	s := Settings{
		Timeout:        validDuration(t, true),
		AttemptTimeout: validDuration(t, true),
		IdleTimeout:    validDuration(t, true),
		Retry: Retry{
			MaxAttempts: rapid.IntRange(1, 5).Draw(t, "attempts"),
			When: rapid.SliceOfN(rapid.OneOf(
				rapid.Map(rapid.SampledFrom(conditions), func(s string) Condition { return Condition(s) }),
				rapid.Map(rapid.IntRange(400, 599), func(n int) Condition { return Condition(fmt.Sprint(n)) }),
			), 0, 32).Draw(t, "when"),
			Backoff: Backoff{
				Initial:    validDuration(t, true),
				Max:        validDuration(t, false),
				Multiplier: rapid.Float64Range(1, 10).Draw(t, "multiplier"),
				Jitter:     rapid.Float64Range(0, 1).Draw(t, "jitter"),
			},
		},
		Hedge:  rapid.Float64Range(0, 0.05).Draw(t, "hedge"),
		Limits: Limits{Concurrency: rapid.IntRange(0, 1_000_000).Draw(t, "concurrency"), Rate: rapid.Float64Range(0, 1_000_000).Draw(t, "rate")},
	}
	return kept(s)
}

func validDuration(t *rapid.T, none bool) time.Duration {
	if none && rapid.Bool().Draw(t, "none") {
		return 0
	}
	return time.Duration(rapid.Int64Range(int64(minDuration), int64(maxDuration)).Draw(t, "duration"))
}

func validMatch(t *rapid.T) Match {
	m := Match{PathPrefix: rapid.StringMatching(`/[a-z/%.&=+-]{0,20}`).Draw(t, "path")}
	if rapid.Bool().Draw(t, "grpc") {
		m = Match{GRPC: rapid.StringMatching(`[a-z]{1,5}\.[A-Z][a-z]{1,5}/(\*|[A-Z][a-z]{1,8})`).Draw(t, "method")}
	}
	if rapid.Bool().Draw(t, "methods") {
		m.Methods = rapid.SliceOfN(rapid.StringMatching(`[!-~]{1,64}`), 1, 16).Draw(t, "names")
	}
	return m
}

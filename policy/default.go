package policy

import "time"

// Default returns the values a call may safely have without anybody knowing it: no time limit but the connection's, so
// that long polls, streams and uploads live; retries of failures that are safe to repeat; a breaker for each endpoint.
// It is the layer under everything else. Each call returns fresh slices.
func Default() Policy {
	return Policy{
		Mode: Enforce,
		Settings: Settings{
			Retry: Retry{
				MaxAttempts: 3,
				When:        []Condition{Unavailable, Reset, AttemptTimeout},
				Backoff:     Backoff{Initial: 25 * time.Millisecond, Max: time.Second, Multiplier: 2, Jitter: 0.5},
			},
		},
		ConnectTimeout: time.Second,
		Budget:         Budget{Ratio: 0.1, Min: 10},
		CircuitBreaker: CircuitBreaker{
			ConsecutiveFailures: 5,
			FailureRatio:        0.5,
			MinRequests:         20,
			Window:              10 * time.Second,
			OpenFor:             5 * time.Second,
			MaxOpenFor:          60 * time.Second,
		},
		Overload: true,
		LoadBalancing: LoadBalancing{
			Algorithm:       P2CEWMA,
			SlowStart:       10 * time.Second,
			PreferLocalZone: true,
			Subset:          100,
		},
	}
}

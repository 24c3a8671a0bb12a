package engine

import (
	"context"
	"errors"
	"time"

	"github.com/onehop-go/onehop/internal/health"
	"github.com/onehop-go/onehop/resolver"
)

// Reason says why a call got no answer, or why a retry was not made.
type Reason string

// The reasons; their meaning stands at onehop.Reason.
const (
	Invalid     Reason = "invalid"
	Unresolved  Reason = "unresolved"
	NoEndpoints Reason = "no_endpoints"
	Denied      Reason = "denied"
	Overload    Reason = "overload"
	Limit       Reason = "limit"
	Deadline    Reason = "deadline"
	Canceled    Reason = "canceled"
	Exhausted   Reason = "attempts_exhausted"
	NoBudget    Reason = "budget"
	Unsafe      Reason = "unsafe"
	ByPolicy    Reason = "policy"
	Closed      Reason = "closed"
)

// Record is an attempt that is over, for errors and observers.
type Record struct {
	Number   int
	Hedge    bool
	Endpoint *health.Endpoint // nil: none was picked
	Start    time.Duration    // instant
	Latency  time.Duration    // to the first end
	Duration time.Duration    // to the second
	Outcome  health.Outcome
	Err      error
}

// Failure is a call without an answer.
type Failure struct {
	Reason   Reason
	Target   resolver.Target
	Route    string
	Attempts []Record
	Err      error // of the last attempt or of the refusal
}

func (f *Failure) Error() string {
	if f.Err == nil {
		return string(f.Reason)
	}
	return string(f.Reason) + ": " + f.Err.Error()
}

func (f *Failure) Unwrap() error { return f.Err }

// reasonOf is the reason of a caller's context that ended.
func reasonOf(err error) Reason {
	if errors.Is(err, context.DeadlineExceeded) {
		return Deadline
	}
	return Canceled
}

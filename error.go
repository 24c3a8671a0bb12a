package onehop

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/onehop-go/onehop/internal/dialer"
	"github.com/onehop-go/onehop/internal/engine"
	"github.com/onehop-go/onehop/internal/health"
	"github.com/onehop-go/onehop/resolver"
)

// Outcome is what an attempt says about its endpoint.
type Outcome string

// The outcomes of an attempt.
const (
	OutcomeOK         Outcome = "ok"
	OutcomeRefused    Outcome = "refused" // never sent
	OutcomeFailed     Outcome = "failed"
	OutcomeOverloaded Outcome = "overloaded"
	OutcomePushback   Outcome = "pushback" // 429, RESOURCE_EXHAUSTED
	OutcomeIgnored    Outcome = "ignored"  // the caller's own doing
)

// Reason says why onehop gave no response.
type Reason string

// The reasons.
const (
	ReasonInvalid     Reason = "invalid"      // name, target, nil argument
	ReasonUnresolved  Reason = "unresolved"   // no snapshot yet: discovery has not answered
	ReasonNoEndpoints Reason = "no_endpoints" // resolved, and empty
	ReasonDenied      Reason = "denied"       // Consul refused us: ACL
	ReasonOverload    Reason = "overload"     // the brake
	ReasonLimit       Reason = "limit"        // limits of the policy
	ReasonDeadline    Reason = "deadline"     // the caller's or the policy's
	ReasonCanceled    Reason = "canceled"     // by the caller
	ReasonExhausted   Reason = "attempts_exhausted"
	ReasonBudget      Reason = "budget"
	ReasonUnsafe      Reason = "unsafe" // may have been executed, and is not idempotent
	ReasonPolicy      Reason = "policy" // retry.when, NoRetry or the mode says no
	ReasonClosed      Reason = "closed"
)

var explained = map[Reason]string{
	ReasonInvalid:     "it cannot be called",
	ReasonUnresolved:  "its endpoints are not known yet",
	ReasonNoEndpoints: "it has no endpoint to call",
	ReasonDenied:      "Consul denies its endpoints: the token needs service:read and node:read",
	ReasonOverload:    "it is overloaded, and calls to it are limited",
	ReasonLimit:       "a limit of its policy is reached",
	ReasonDeadline:    "the time for the call is over, or too short for another attempt",
	ReasonCanceled:    "the caller cancelled",
	ReasonExhausted:   "all attempts allowed have failed",
	ReasonBudget:      "the retry budget is empty: too many calls fail to repeat this one",
	ReasonUnsafe:      "it may have been executed, and is not known to be idempotent",
	ReasonPolicy:      "the policy allows no retry of this failure",
	ReasonClosed:      "the client is closed",
}

var (
	errNilClient = errors.New("the *onehop.Client is nil: make one with onehop.New")
	errNoService = errors.New("the target names no service")
	errClosed    = errors.New("onehop: the client is closed")
)

// Error is the one error type: a call that got no response. errors.Is and errors.As see Err, such as
// context.DeadlineExceeded or syscall.ECONNREFUSED.
type Error struct {
	Reason   Reason
	Target   resolver.Target
	Route    string // "" none
	Attempts []Attempt
	Err      error // of the last attempt or refusal; may be nil
}

// Attempt is one try. Latency, Duration, Outcome and Err are set when it is done.
type Attempt struct {
	Number   int // 1 is the first
	Hedge    bool
	Endpoint resolver.Endpoint
	Start    time.Time
	Latency  time.Duration // to final response headers or unary end
	Duration time.Duration // to the end of the body or stream
	Outcome  Outcome
	Err      error
}

// Error names the service, the reason and each attempt.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("onehop: ")
	if e.Target != (resolver.Target{}) {
		b.WriteString(e.name() + ": ")
	}
	fmt.Fprintf(&b, "%s (%s)", explained[e.Reason], e.Reason)
	if e.Err != nil {
		fmt.Fprintf(&b, ": %v", e.Err)
	}
	for i, a := range e.Attempts {
		sep := "; attempts: "
		if i > 0 {
			sep = ", "
		}
		fmt.Fprintf(&b, "%s%d %s %s after %s", sep, a.Number, a.Endpoint.Addr, a.Outcome, a.Latency.Round(time.Microsecond))
	}
	return b.String()
}

// name is the service alone where that says it all.
func (e *Error) name() string {
	if e.Target == (resolver.Target{Service: e.Target.Service}) {
		return e.Target.Service
	}
	return e.Target.String()
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// Timeout says, as net.Error does, whether time ended the call.
func (e *Error) Timeout() bool { return dialer.Timeout(e.Err) }

// ReasonOf is the Reason of the *Error in err; "": there is none.
func ReasonOf(err error) Reason {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Reason
	}
	return ""
}

// publicError turns a failure of the engine into an *Error. Other errors stay.
func publicError(err error) error {
	f, ok := errors.AsType[*engine.Failure](err)
	if !ok {
		return err
	}
	e := &Error{Reason: Reason(f.Reason), Target: f.Target, Route: f.Route, Err: f.Err}
	for _, r := range f.Attempts {
		e.Attempts = append(e.Attempts, attemptOf(r))
	}
	return e
}

func attemptOf(r engine.Record) Attempt {
	a := Attempt{
		Number: r.Number, Hedge: r.Hedge, Start: health.Time(r.Start), Latency: r.Latency, Duration: r.Duration, Err: r.Err,
	}
	if r.Latency != 0 || r.Duration != 0 {
		a.Outcome = Outcome(r.Outcome.String())
	}
	if r.Endpoint != nil {
		a.Endpoint = *r.Endpoint.Info()
	}
	return a
}

package health

import (
	"context"
	"time"
)

// Outcome is what an attempt says about its endpoint.
type Outcome uint8

// The classes of an attempt's end. The zero value is OK.
const (
	OK         Outcome = iota
	Refused            // could not connect: never sent
	Failed             // sent, and no good answer came
	Overloaded         // the endpoint says it has too much: 503
	Pushback           // the endpoint says this caller sends too much: 429, RESOURCE_EXHAUSTED
	Ignored            // the caller's own doing, or ours: says nothing
	Injected           // aborted by fault injection: says nothing
)

// Report is the first end of an attempt: what its endpoint is judged by.
type Report struct {
	Outcome Outcome
	Start   time.Duration // of the attempt: its pick
	Now     time.Duration
	Timeout bool          // our timer or a deadline ended it: its time is a lower bound of the latency
	Raise   bool          // ignored, but its time is a lower bound of the latency: cancelled, a lost hedge
	Usual   time.Duration // what an answer of the attempt's route usually takes; 0: not known
	Late    time.Duration // how long after its deadline a timer ended it: our own stall
	// Unsampled keeps the time of an ok out of the latency: streams, dials.
	Unsampled bool
	// Redial tries to connect to the endpoint again, with the protocol's own dialer. It confirms a refused attempt
	// and later probes. nil: the endpoint is judged by its share alone.
	Redial func(context.Context) error
}

// bad says whether the outcome counts against the endpoint.
func (o Outcome) bad() bool { return o == Refused || o == Failed || o == Overloaded }

var outcomes = [...]string{
	OK: "ok", Refused: "refused", Failed: "failed", Overloaded: "overloaded",
	Pushback: "pushback", Ignored: "ignored", Injected: "injected",
}

// String is the outcome's public name.
func (o Outcome) String() string { return outcomes[o] }

// ParseOutcome reads the public name of an outcome that a caller's rule may give; false: it is none.
func ParseOutcome(name string) (Outcome, bool) {
	for o, s := range outcomes[:Injected] {
		if s == name {
			return Outcome(o), true
		}
	}
	return OK, false
}

package health

import (
	"context"
	"time"

	"github.com/onehop-go/onehop/internal/dialer"
)

// Connected is the word of a protocol that keeps connections by itself, as grpc-go does: it has one to e. For an
// endpoint that a dial opened that is the successful probe; one that was opened for how it answers stays open.
func (s *Set) Connected(now time.Duration, e *Endpoint) {
	e.Dialed(now)
	if e.state.Load() != closed && s.redialOf(e) != nil {
		s.close(now, e)
	}
}

// Unreachable is the word of a protocol that keeps connections by itself: it tried to connect to e and could not. That
// is a confirmed refusal: e is open without a count. redial is what other protocols probe it by.
func (s *Set) Unreachable(now time.Duration, e *Endpoint, err error, redial func(context.Context) error) {
	e.failures.add(millis(now), 1)
	e.reports.Store(nil) // what comes back there says anew what it can take
	if s.env.Refused != nil {
		s.env.Refused(e)
	}
	if dialer.Timeout(err) && s.braking(e) {
		return // an overloaded service does not accept in time, either
	}
	if e.state.Load() == closed && s.feed(e, true, true) {
		s.open(now, e, redial)
	}
}

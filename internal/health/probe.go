package health

import (
	"context"
	"slices"
	"time"

	"github.com/onehop-go/onehop/internal/dialer"
)

const (
	probeShare   = 50               // at most one call of the upstream in so many is a probe
	probeTimeout = 30 * time.Second // a probe that never reports has failed: else its endpoint would stay half-open
	calmAfter    = 30 * time.Second // closed for so long, and the growth of the open time is forgotten
)

// probe gives the call an endpoint of v whose open time is over, nil where there is none. Those that a dial opened are
// dialled again in the background, at no call's risk.
func (s *Set) probe(now time.Duration, v *View) (*Endpoint, func(Outcome)) {
	for _, e := range v.open {
		if e.state.Load() != open || int64(now) < e.retryAt.Load() || s.env.Go != nil && s.redialOf(e) != nil {
			continue
		}
		if done := s.begin(now, e); done != nil {
			s.picks.Store(0)
			return e, done
		}
	}
	return nil, nil
}

func (s *Set) redialOf(e *Endpoint) func(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return e.redial
}

// trial is one probe under way. Its end counts once: a late one finds another trial, or none.
type trial struct{ done func(error) }

// begin moves an open endpoint to probing and returns what ends the probe; nil: another was faster.
func (s *Set) begin(now time.Duration, e *Endpoint) func(Outcome) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := e.breaker.Load()
	if b == nil || e.state.Load() != open {
		return nil
	}
	done, err := b.Allow()
	if err != nil {
		return nil
	}
	t := &trial{done}
	e.trial = t
	e.state.Store(probing)
	e.retryAt.Store(int64(now + probeTimeout))
	s.schedule()
	return func(o Outcome) { s.end(Now(), e, t, o) }
}

// end is a probe's verdict: re-admitted, open for longer, or, where it says nothing, due again at once.
func (s *Set) end(now time.Duration, e *Endpoint, t *trial, o Outcome) {
	s.mu.Lock()
	if t == nil || e.trial != t {
		s.mu.Unlock()
		return
	}
	e.trial = nil
	switch {
	case o == OK:
		t.done(nil)
		s.mu.Unlock()
		s.close(now, e)
		return
	case o.bad():
		t.done(errFailure)
		s.shut(now, e)
		s.schedule()
	default:
		t.done(errExcluded)
		e.retryAt.Store(int64(now))
		e.state.Store(open)
		s.schedule()
	}
	s.mu.Unlock()
}

// expire fails a probe that never reported.
func (s *Set) expire(now time.Duration, e *Endpoint) {
	s.mu.Lock()
	t := e.trial
	s.mu.Unlock()
	s.end(now, e, t, Failed)
}

func (s *Set) dialProbe(now time.Duration, e *Endpoint) {
	redial := s.redialOf(e)
	if redial == nil {
		return
	}
	if done := s.begin(now, e); done != nil {
		s.env.Go(func(ctx context.Context) { done(dialed(redial(ctx))) })
	}
}

func dialed(err error) Outcome {
	if err != nil {
		return Refused
	}
	return OK
}

// open avoids e from now on. redial is kept where a dial decided: a dial will decide again.
func (s *Set) open(now time.Duration, e *Endpoint, redial func(context.Context) error) {
	s.mu.Lock()
	if e.state.Load() != closed {
		s.mu.Unlock()
		return
	}
	if now-e.closed > calmAfter {
		e.opens = 0
	}
	e.redial = redial
	s.shut(now, e)
	s.publish()
	s.mu.Unlock()
	s.tell(e, Opened)
}

// shut opens e for a time that doubles with each opening. Under mu.
func (s *Set) shut(now time.Duration, e *Endpoint) {
	c := s.settings.Load().CircuitBreaker
	wait := c.MaxOpenFor
	if e.opens < 32 && c.OpenFor<<e.opens > 0 { // beyond that the shift has left any allowed maximum behind
		wait = min(wait, c.OpenFor<<e.opens)
	}
	e.opens++
	e.opened.Store(int64(now))
	e.retryAt.Store(int64(now + jitter(wait)))
	e.state.Store(open)
}

// close re-admits e: half trusted, and slowly. Its breaker goes, so that results of attempts begun before reach a dead
// object.
func (s *Set) close(now time.Duration, e *Endpoint) {
	s.mu.Lock()
	if e.state.Load() == closed {
		s.mu.Unlock()
		return
	}
	e.breaker.Store(nil)
	e.consec.Store(0)
	e.failures.set(millis(now), 0.5)
	e.since.Store(int64(now))
	e.closed = now
	e.redial, e.trial = nil, nil
	e.state.Store(closed)
	s.publish()
	s.mu.Unlock()
	s.tell(e, Closed)
}

// unconnected answers an attempt that could not connect. The next one that cannot either, or a dial of our own at once,
// confirms it: then the endpoint is open, without a count and without comparing it with anybody.
func (s *Set) unconnected(e *Endpoint, r Report) {
	if e.missed.Add(1) == 1 {
		s.confirm(e, r.Redial)
		return
	}
	// Who did not connect in time to an overloaded service says nothing: Failed is a dial that timed out.
	if (r.Outcome == Refused || !s.braking(e)) && s.feed(e, true, true) {
		s.open(r.Now, e, r.Redial)
	}
}

func (s *Set) confirm(e *Endpoint, redial func(context.Context) error) {
	if s.env.Go == nil || e.state.Load() != closed || !e.confirming.CompareAndSwap(false, true) {
		return
	}
	s.env.Go(func(ctx context.Context) {
		defer e.confirming.Store(false)
		err := redial(ctx)
		if err == nil {
			e.missed.Store(0)
			return
		}
		if ctx.Err() != nil || dialer.Timeout(err) && s.braking(e) {
			return
		}
		if s.feed(e, true, true) {
			s.open(Now(), e, redial)
		}
	})
}

// Open lists the endpoints that are avoided now, for people.
func (s *Set) Open() []*Endpoint {
	return slices.DeleteFunc(slices.Clone(s.view.Load().All), func(e *Endpoint) bool { return e.Available() })
}

package health

import "time"

// Want is what a pick should know about its attempt.
type Want struct {
	Tried []*Endpoint // of this call: others are preferred
	Probe bool        // the attempt may decide whether an open endpoint is well again: it can be retried elsewhere
	Hash  uint64      // of the call's key, for ring_hash; 0: none
	Conn  bool        // a connection is to be opened: by connections, not by calls
	Place int         // the datacenter the call was admitted to; retries may leave it
}

// Pick chooses an endpoint of v for an attempt, nil where v has none. In order of preference: one whose probe is due,
// an available one not yet tried, any available one, one not yet tried, any; where all that are available fail in a row,
// those avoided for their failures come before any available one again. probe, when not nil, must be called once with what
// Report said of the attempt.
func (s *Set) Pick(now time.Duration, v *View, want Want) (e *Endpoint, probe func(Outcome)) {
	if int64(now) >= s.due.Load() {
		s.overdue(now)
	}
	if int64(now) >= s.dueCall.Load() && s.picks.Add(1) > probeShare && want.Probe && v.settings.Apply {
		if e, probe = s.probe(now, v); e != nil {
			return e, probe
		}
	}
	return s.choose(now, v, &want), nil
}

// overdue does what time has brought about and no call need wait for: a datacenter regains its share, reports of load
// change weights, an endpoint that a dial opened is dialled again, a probe that never reported has failed.
func (s *Set) overdue(now time.Duration) {
	if !s.mu.TryLock() {
		return // whoever changes something looks at the time as well
	}
	switch v := s.view.Load(); {
	case int64(now) >= s.regain:
		s.publish()
	case int64(now) >= s.reweigh.Load():
		s.replace(v.All, v.ring)
	}
	var expired, dial []*Endpoint
	for _, e := range s.view.Load().open {
		switch {
		case int64(now) < e.retryAt.Load():
		case e.state.Load() == probing:
			expired = append(expired, e)
		case s.dials(e):
			dial = append(dial, e)
		}
	}
	s.mu.Unlock()
	for _, e := range expired {
		s.expire(now, e)
	}
	for _, e := range dial {
		s.dialProbe(now, e)
	}
}

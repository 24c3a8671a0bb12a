package health

import "time"

// Want is what a pick should know about its attempt.
type Want struct {
	Tried []*Endpoint // of this call: others are preferred
	Probe bool        // the attempt may decide whether an open endpoint is well again: it can be retried elsewhere
	Hash  uint64      // of the call's key, for ring_hash; 0: none
}

// Pick chooses an endpoint of v for an attempt, nil where v has none. In order of preference: one whose probe is due,
// an available one not yet tried, any available one, one not yet tried, any. probe, when not nil, must be called once
// with what Report said of the attempt.
func (s *Set) Pick(now time.Duration, v *View, want Want) (e *Endpoint, probe func(Outcome)) {
	if int64(now) >= s.due.Load() {
		if e, probe = s.overdue(now, v, want.Probe); e != nil {
			return e, probe
		}
	}
	return s.choose(now, v, want), nil
}

// overdue does what time has brought about: a datacenter regains its share, a probe is due.
func (s *Set) overdue(now time.Duration, v *View, mayProbe bool) (*Endpoint, func(Outcome)) {
	if len(v.shares) > 1 && s.mu.TryLock() {
		s.publish()
		s.mu.Unlock()
	}
	if len(v.open) == 0 {
		return nil, nil
	}
	return s.probe(now, v, mayProbe)
}

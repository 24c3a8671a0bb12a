package health

import "time"

// stall is how late a timer must fire to prove that the whole process was held up: GC, SIGSTOP, CPU quota.
const stall = 100 * time.Millisecond

// Report is the first end of an attempt at e. It must be called once for each, and says what the outcome counted as.
func (s *Set) Report(e *Endpoint, r Report) Outcome {
	if s.stalledIn(r) {
		return Ignored // nothing of it says anything, its time included
	}
	switch r.Outcome {
	case OK:
		s.succeeded(e, r)
	case Refused, Failed, Overloaded:
		s.failed(e, r)
	case Pushback, Ignored, Injected:
		if r.Raise || r.Timeout {
			// It was ended before its end. Where times have a heavy tail, what has lasted so long is likely to last as long
			// again; taken for what it is, a slow endpoint whose hedges always win would look hardly slower than they are.
			e.latency.raise(millis(r.Now), 2*s.relative(r))
		}
	}
	return r.Outcome
}

// stalledIn says whether the attempt went wrong in a time in which we ourselves stood still.
func (s *Set) stalledIn(r Report) bool {
	if r.Late > stall && int64(r.Now) > s.stalled.Load() {
		s.stalled.Store(int64(r.Now))
	}
	return r.Outcome.bad() && int64(r.Start) < s.stalled.Load()
}

// relative is the attempt's time in seconds, as if its route were as fast as the service is in the mean: calls that take
// long wherever they go must not make the endpoint look slow that happened to serve them.
func (s *Set) relative(r Report) float64 {
	took := (r.Now - r.Start).Seconds()
	if service := s.service.Read(); service > 0 && r.Usual > 0 {
		return took * service / r.Usual.Seconds()
	}
	return took
}

func (s *Set) succeeded(e *Endpoint, r Report) {
	ms := millis(r.Now)
	if !r.Unsampled && int64(r.Start) > e.dialed.Load() && int64(r.Start) >= s.stalled.Load() {
		e.latency.sample(ms, s.relative(r))
		s.service.Sample((r.Now - r.Start).Seconds())
	}
	e.failures.add(ms, 0)
	if e.consec.Load() != 0 {
		e.consec.Store(0)
	}
	if e.missed.Load() != 0 {
		e.missed.Store(0)
	}
	e.lastOK.Store(int64(r.Now))
	if e.breaker.Load() == nil {
		return
	}
	if e.state.Load() != closed {
		if int64(r.Start) >= e.opened.Load() {
			s.close(r.Now, e) // it answered after it was given up
		}
		return
	}
	s.feed(e, false, false)
}

func (s *Set) failed(e *Endpoint, r Report) {
	ms := millis(r.Now)
	e.latency.hold(ms)
	if r.Timeout {
		e.latency.raise(ms, s.relative(r))
	}
	e.failures.add(ms, 1)
	e.consec.Add(1)
	if r.Outcome == Refused && s.env.Refused != nil {
		s.env.Refused(e)
	}
	if s.feed(e, true, false) {
		s.open(r.Now, e, r.Redial)
		return
	}
	if r.Redial != nil {
		s.unconnected(e, r)
	}
}

package engine

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/onehop-go/onehop/internal/health"
)

// State is the loop's part of an attempt. A protocol embeds it, reads the exported fields in Send, and calls Pick,
// Begun and End.
type State struct {
	Timeout time.Duration // of this attempt; 0: none
	Number  int32         // of the tries of this call; 1 is the first
	Hedge   bool          // made beside another that is still under way

	// The small fields stand together: a call is paid by its bytes.
	outcome health.Outcome
	begun   bool
	answer  bool        // what the caller got
	settled atomic.Bool // of a race: it has delivered, or lost
	ended   atomic.Bool

	call     *Call
	tried    *[]*health.Endpoint // of the call, when the attempt was made; nil: none
	endpoint atomic.Pointer[health.Endpoint]
	start    time.Duration // of the pick
	latency  time.Duration
	err      error
	probe    func(health.Outcome)
	heard    *heard                  // nil: nobody listens
	cancel   context.CancelCauseFunc // of a race; nil: none was run
}

// heard is the context with what the hooks added at the start of an attempt.
type heard struct{ ctx context.Context }

// Core returns s itself: embedding it makes that part of an Attempt.
func (s *State) Core() *State { return s }

// Endpoint is what was picked; nil: nothing yet.
func (s *State) Endpoint() *health.Endpoint { return s.endpoint.Load() }

// EndedWith is what the attempt ended with; nil: well, or not yet. It is not for use while the attempt is under way.
func (s *State) EndedWith() error { return s.err }

// Start is the instant of the pick.
func (s *State) Start() time.Duration { return s.start }

// Call is the call the attempt belongs to.
func (s *State) Call() *Call { return s.call }

// Deadline is the instant at which the call's time is over; 0: the caller's own deadline only.
func (s *State) Deadline() time.Duration { return s.call.deadline }

// triedBefore are the endpoints that are better left to others: those of the call's earlier attempts.
func (s *State) triedBefore() []*health.Endpoint {
	if s.tried == nil {
		return nil
	}
	return *s.tried
}

// avoid adds e to them.
func (s *State) avoid(e *health.Endpoint) {
	tried := append(slices.Clip(s.triedBefore()), e)
	s.tried = &tried
}

// Pick chooses the attempt's endpoint among v, by default (nil) the upstream's whole view, and counts it in flight.
// false: v has none. It may be called again: a later pick (a protocol's transparent retry) replaces the earlier one.
func (s *State) Pick(v *health.View) bool {
	set := s.call.upstream.set
	if v == nil {
		v = set.View()
	}
	tried := s.triedBefore()
	if e := s.Endpoint(); e != nil { // what was picked before did not take it
		tried = append(slices.Clip(tried), e)
	}
	now := s.start // as the loop knows it, for the first pick
	if now == 0 || s.Endpoint() != nil {
		now = health.Now()
	}
	e, probe := set.Pick(now, v, health.Want{
		Tried: tried, Probe: s.Number == 1 && s.call.mayProbe(), Hash: s.call.Hash(), Place: int(s.call.place), Conn: s.call.conn(),
	})
	if e == nil {
		return false
	}
	s.Unpick()
	e.Begin(s.call.conn())
	s.start, s.probe = now, probe
	s.endpoint.Store(e)
	return true
}

// Unpick takes back a pick that sent nothing: no attempt was made at its endpoint.
func (s *State) Unpick() {
	e := s.endpoint.Swap(nil)
	if e == nil {
		return
	}
	e.End(s.call.conn())
	if s.probe != nil {
		s.probe(health.Ignored)
	}
	s.probe, s.start = nil, 0
}

// Begun tells the observer that the attempt is about to be sent, and returns the context that should travel.
func (s *State) Begun(ctx context.Context) context.Context {
	if h := s.call.upstream.hooks; h != nil {
		if h.AttemptStart != nil {
			ctx = h.AttemptStart(ctx, s.record())
		}
		s.heard = &heard{ctx}
	}
	s.begun = true
	return ctx
}

func (s *State) record() Record {
	return Record{Number: int(s.Number), Hedge: s.Hedge, Endpoint: s.Endpoint(), Start: s.start, Latency: s.latency, Outcome: s.outcome, Err: s.err}
}

// End is the second end: the body, the stream or the connection is over. Calls after the first do nothing. broken says
// that the endpoint broke it off after a good beginning, which counts one failure more. The loop ends the attempts it
// discards; a protocol ends the one whose answer the caller got.
func (s *State) End(err error, broken bool) {
	if s.ended.Swap(true) {
		return
	}
	if s.cancel != nil {
		s.cancel(nil)
	}
	e := s.Endpoint()
	if e != nil {
		e.End(s.call.conn())
	}
	if broken && e != nil {
		s.call.upstream.set.Report(e, health.Report{Outcome: health.Failed, Start: s.start, Now: health.Now()})
	}
	if err != nil {
		s.err = err
	}
	h := s.call.upstream.hooks
	if h == nil {
		return
	}
	if s.begun && h.AttemptDone != nil {
		r := s.record()
		r.Duration = health.Now() - s.start
		h.AttemptDone(s.heard.ctx, r)
	}
	if s.answer {
		s.call.done(s.err)
	}
}

// Package overload has the brake: a limit on the calls in flight to one upstream that exists only while nearly every
// answer says that the service has too much to do.
package overload

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
)

const (
	fullCount  = 20                     // completions that make a window
	fullTime   = 100 * time.Millisecond // and the time it lasts at least
	staleTime  = 10 * time.Second       // a window not full by then says nothing: off
	badShare   = 0.9                    // at .5 a merely wrong attempt_timeout would be made worse by the brake
	tighten    = 0.8
	loosen     = 0.1
	busy, idle = 0.7, 0.2 // of the limit in flight
	drift      = 1.1
	offAbove   = 10 // times the peak in flight
)

// Verdict is what a completed call says about its service.
type Verdict uint8

// The verdicts. The zero value is Silent.
const (
	Silent Verdict = iota // cancelled, refused, failed: says nothing about load
	Good
	Bad // overloaded, pushed back, timed out
)

// Brake is the limit of one upstream. The zero value is off. Safe for concurrent use.
type Brake struct {
	inflight atomic.Int64
	limit    atomic.Uint64 // float64 bits; 0: off
	ok, bad  atomic.Int64  // of the window
	began    atomic.Int64  // instant of the window's start
	refused  atomic.Bool   // a call, in the window

	mu    sync.Mutex // one evaluates
	peak  int64      // in flight while the brake was on
	armed bool       // the last window was bad, and the brake is off
}

// On says whether there is a limit now.
func (b *Brake) On() bool { return b.limit.Load() != 0 }

// Limit is the calls allowed in flight; 0: no limit.
func (b *Brake) Limit() float64 { return math.Float64frombits(b.limit.Load()) }

// Admit says whether a call may begin, and counts it in flight either way: each Admit is followed by one Done, or by
// one Refuse where it was not let in.
func (b *Brake) Admit() bool {
	n := b.inflight.Add(1)
	limit := b.Limit()
	if limit == 0 || float64(n) <= limit {
		return true
	}
	b.refused.Store(true)
	return false
}

// Refuse takes back the count of a call that was not let in.
func (b *Brake) Refuse() { b.inflight.Add(-1) }

// Done ends a call that was admitted.
func (b *Brake) Done(now time.Duration, v Verdict) {
	n := b.inflight.Add(-1)
	switch v {
	case Good:
		b.ok.Add(1)
	case Bad:
		b.bad.Add(1)
	case Silent:
		return
	}
	age := now - time.Duration(b.began.Load())
	if age < fullTime || (age < staleTime && b.ok.Load()+b.bad.Load() < fullCount) || !b.mu.TryLock() {
		return
	}
	defer b.mu.Unlock()
	b.evaluate(now, n)
}

// evaluate ends a window. Under mu.
func (b *Brake) evaluate(now time.Duration, inflight int64) {
	age := now - time.Duration(b.began.Swap(int64(now)))
	ok, bad := b.ok.Swap(0), b.bad.Swap(0)
	refused := b.refused.Swap(false)
	if ok+bad < fullCount {
		if age >= staleTime {
			b.limit.Store(0)
			b.armed = false
		}
		return
	}
	b.limit.Store(math.Float64bits(b.next(float64(bad)/float64(ok+bad), inflight, refused)))
}

// next is the limit after a window; 0: off. inflight is as of its last completion, refused says that a call was.
func (b *Brake) next(share float64, inflight int64, refused bool) float64 {
	limit, n := b.Limit(), float64(inflight)
	armed := b.armed
	b.armed = share >= badShare
	if limit == 0 {
		if !armed || !b.armed {
			return 0 // one window of 20 is bad by chance where attempt_timeout is merely wrong
		}
		limit, b.peak = n+1, 0
	}
	b.peak = max(b.peak, inflight)
	if share >= badShare {
		return max(1, tighten*min(limit, n+1))
	}
	switch {
	case refused, n >= busy*limit: // calls come in bursts that the last completion need not see
		limit += max(1, loosen*limit)
	case n < idle*limit:
		limit *= drift
	}
	if limit > offAbove*float64(max(b.peak, 1)) {
		return 0
	}
	return limit
}

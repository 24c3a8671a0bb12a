package health

import (
	"errors"
	"time"

	"github.com/sony/gobreaker/v2"
)

// breaker is gobreaker on the exception path: it exists from an endpoint's first failure until it has been closed and
// quiet for a window. On the healthy way there is none: no lock, no allocation.
type breaker struct {
	*gobreaker.TwoStepCircuitBreaker[struct{}]
	forced bool // a confirmed refusal: trip at the next report. Written before Allow, read under gobreaker's lock
}

// What gobreaker is fed: it knows outcomes only as errors.
var (
	errFailure  = errors.New("failure")
	errExcluded = errors.New("says nothing")
)

const (
	bucket = time.Second
	// reopen is gobreaker's own open time. Ours is retryAt, with growth and jitter, so its must only not be in the way.
	reopen = time.Millisecond
	// spread is how long a run of failures must last: at high rates five in a row happen by chance.
	spread = 100 * time.Millisecond
)

func (s *Set) newBreaker(e *Endpoint) *breaker {
	b := &breaker{}
	b.TwoStepCircuitBreaker = gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		MaxRequests:  1,
		Interval:     s.settings.Load().CircuitBreaker.Window,
		BucketPeriod: bucket,
		Timeout:      reopen,
		IsExcluded:   func(err error) bool { return errors.Is(err, errExcluded) },
		ReadyToTrip:  func(c gobreaker.Counts) bool { return b.forced || s.shouldTrip(e, c) },
	})
	return b
}

// shouldTrip is the soft trip: the endpoint fails, and its peers do clearly better. It runs under gobreaker's lock and
// reads atomics only. Ratios leave out what is in flight, which gobreaker counts as requests.
func (s *Set) shouldTrip(e *Endpoint, c gobreaker.Counts) bool {
	set := s.settings.Load().CircuitBreaker
	now := Now()
	row := set.ConsecutiveFailures > 0 && int(e.consec.Load()) >= set.ConsecutiveFailures && now-time.Duration(e.lastOK.Load()) >= spread
	n := c.TotalSuccesses + c.TotalFailures
	share := set.FailureRatio > 0 && int(n) >= set.MinRequests && float64(c.TotalFailures) >= set.FailureRatio*float64(n)
	if !row && !share {
		return false
	}
	peers, ok := s.peers(e, now)
	return ok && peers >= 0.5+0.5*e.Success(now) && !s.braking(e)
}

const mostPeers = 64 // enough for a mean, and bounds the work of a failure

// peers is the mean success share of the other available endpoints; false: there is none to compare with.
func (s *Set) peers(e *Endpoint, now time.Duration) (float64, bool) {
	sum, n := 0.0, 0
	for _, p := range s.view.Load().Available {
		if p == e {
			continue
		}
		sum += p.Success(now)
		if n++; n == mostPeers {
			break
		}
	}
	return sum / float64(max(n, 1)), n > 0
}

// feed gives the endpoint's breaker one outcome, and says whether it tripped. Results that arrive while it is open or
// probing are nobody's: the state is decided by the probe.
func (s *Set) feed(e *Endpoint, bad, force bool) (tripped bool) {
	b := e.breaker.Load()
	if b == nil {
		if !bad {
			return false
		}
		if fresh := s.newBreaker(e); e.breaker.CompareAndSwap(nil, fresh) {
			b = fresh
		} else if b = e.breaker.Load(); b == nil {
			return false // closed and dropped meanwhile: the next failure makes one
		}
	}
	if e.state.Load() != closed {
		return false
	}
	if force {
		b = s.forcedBreaker(e)
	}
	done, err := b.Allow()
	if err != nil {
		return false
	}
	if !bad {
		done(nil)
		s.dropQuiet(e, b)
		return false
	}
	done(errFailure)
	return b.State() != gobreaker.StateClosed
}

// forcedBreaker replaces the endpoint's breaker by one that trips at its first failure.
func (s *Set) forcedBreaker(e *Endpoint) *breaker {
	b := s.newBreaker(e)
	b.forced = true
	e.breaker.Store(b)
	return b
}

// dropQuiet lets the breaker go once a whole window passed without a failure.
func (s *Set) dropQuiet(e *Endpoint, b *breaker) {
	if c := b.Counts(); c.TotalFailures == 0 && e.consec.Load() == 0 {
		e.breaker.CompareAndSwap(b, nil)
	}
}

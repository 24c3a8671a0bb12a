package consulapi

import (
	"time"

	"golang.org/x/time/rate"
)

const (
	minInterval = time.Second // between the requests of one watch in the long run
	burst       = 2           // so that a confirming read goes at once
	maxBackoff  = 15 * time.Second
	maxRedial   = 2 * time.Second // nobody is troubled by dials to a closed port
)

// pace decides when a watch may send. Pure: now and the random numbers in [0,1) are passed in. Not for concurrent use.
type pace struct {
	bucket   *rate.Limiter
	failures int // in a row
}

func newPace() pace { return pace{bucket: rate.NewLimiter(rate.Every(minInterval), burst)} }

// take counts a request that begins after the pause it returns.
func (p *pace) take(now time.Time) time.Duration {
	return p.bucket.ReserveN(now, 1).DelayFrom(now)
}

func (p *pace) succeeded() { p.failures = 0 }

// failed is the pause before the next request: the first within a second, since most faults are over at once, then
// doubling from 1 s to 15 s, or to 2 s for an agent that does not answer, and up to half longer at random, so that the
// clients of an agent that comes back do not ask together.
func (p *pace) failed(kind Kind, random float64) time.Duration {
	p.failures++
	if p.failures == 1 {
		return time.Duration(random * float64(time.Second))
	}
	limit := maxBackoff
	if kind == Unreachable {
		limit = maxRedial
	}
	d := limit
	if doublings := p.failures - 2; doublings < 4 {
		d = min(limit, time.Second<<doublings)
	}
	return d + time.Duration(random*float64(d)/2)
}

package consulapi

import (
	"time"

	"golang.org/x/time/rate"
)

const (
	minInterval = time.Second     // between the requests of one watch in the long run
	burst       = 2               // so that a confirming read goes at once
	maxRedial   = 2 * time.Second // nobody is troubled by dials to a closed port
)

// MaxBackoff is the longest pause after failures, without its jitter.
const MaxBackoff = 15 * time.Second

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

// failed counts a failure and gives the pause before the next request.
func (p *pace) failed(kind Kind, random float64) time.Duration {
	p.failures++
	if kind == Unreachable {
		return Backoff(p.failures, maxRedial, random)
	}
	return Backoff(p.failures, MaxBackoff, random)
}

// Backoff is the pause after so many failures in a row: after the first up to a second, since most faults are over at
// once, then doubling from 1 s to limit, each up to half longer by random in [0,1), so that the clients of a server that
// comes back do not ask together.
func Backoff(failures int, limit time.Duration, random float64) time.Duration {
	if failures <= 1 {
		return time.Duration(random * float64(time.Second))
	}
	d := limit
	if doublings := failures - 2; doublings < 10 {
		d = min(limit, time.Second<<doublings)
	}
	return d + time.Duration(random*float64(d)/2)
}

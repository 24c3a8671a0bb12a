package main

import (
	"slices"
	"sync"
	"time"
)

// sample is one finished call.
type sample struct {
	at       time.Time // of its end
	took     time.Duration
	instance string // that answered; "": none did
	failed   bool
}

// record keeps every call of a lane: some ten thousand in a show, so that any stretch of time can be looked at.
type record struct {
	mu      sync.Mutex
	samples []sample // by at
}

func (r *record) add(s sample) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.samples = append(r.samples, s)
}

// stats sums up calls.
type stats struct {
	calls, failed int
	p50, p99      time.Duration // of all of them, failed ones too: the caller waited for those as well
}

// between sums up the calls that ended from one moment to another; instance "" is all of them.
func (r *record) between(from, to time.Time, instance string) stats {
	return sum(r.slice(from, to), instance)
}

// sum sums up calls.
func sum(calls []sample, instance string) stats {
	var s stats
	var took []time.Duration
	for _, c := range calls {
		if instance != "" && c.instance != instance {
			continue
		}
		s.calls++
		if c.failed {
			s.failed++
		}
		took = append(took, c.took)
	}
	slices.Sort(took)
	s.p50, s.p99 = percentile(took, 50), percentile(took, 99)
	return s
}

// slice copies the calls of a stretch of time.
func (r *record) slice(from, to time.Time) []sample {
	r.mu.Lock()
	defer r.mu.Unlock()
	end := len(r.samples)
	for end > 0 && !r.samples[end-1].at.Before(to) {
		end--
	}
	begin := end
	for begin > 0 && !r.samples[begin-1].at.Before(from) {
		begin--
	}
	return slices.Clone(r.samples[begin:end])
}

// percentile is the nearest-rank percentile of sorted values; 0 of none.
func percentile(sorted []time.Duration, p int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[max(0, (len(sorted)*p+99)/100-1)]
}

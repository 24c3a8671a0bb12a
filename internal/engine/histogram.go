package engine

import (
	"math"
	"math/bits"
	"sync/atomic"
	"time"
)

const (
	subBits  = 3 // sub-buckets per power of two: a value is known within 1/8
	subCount = 1 << subBits
	buckets  = 256 // 1 KiB: from 1 us to over an hour
)

// Histogram counts latencies in log-linear buckets, as HdrHistogram does, with atomic counters: a sample is one addition,
// and all of it 1 KiB. The zero value is empty. Safe for concurrent use. It has a public name for bench alone, which compares
// it with HdrHistogram.
type Histogram struct {
	counts [buckets]atomic.Uint32
}

// bucketOf is the bucket of a latency: the position of its highest bit and the three below.
func bucketOf(d time.Duration) int {
	us := uint64(max(d, 0) / time.Microsecond)
	if us < subCount {
		return int(us)
	}
	shift := bits.Len64(us) - 1 - subBits
	return min(buckets-1, (shift+1)<<subBits+int(us>>shift)&(subCount-1))
}

// top is the highest value of a bucket: what HdrHistogram answers with, too. An answer that usually takes 10 ms must not
// be hedged after 9.
func top(bucket int) time.Duration {
	if bucket < subCount {
		return time.Duration(bucket+1) * time.Microsecond
	}
	shift := bucket>>subBits - 1
	return time.Duration(uint64(subCount+bucket&(subCount-1)+1)<<shift) * time.Microsecond
}

// Sample counts one latency.
func (h *Histogram) Sample(d time.Duration) { h.counts[bucketOf(d)].Add(1) }

// Len is how many samples it holds.
func (h *Histogram) Len() (n uint64) {
	for i := range h.counts {
		n += uint64(h.counts[i].Load())
	}
	return n
}

// Fade halves every count, so that the samples to come weigh more than those that have been.
func (h *Histogram) Fade() {
	for i := range h.counts {
		c := &h.counts[i]
		c.Add(-(c.Load() / 2)) // a sample between the two reads is kept
	}
}

// Percentile is the latency that a share p of the samples does not exceed, 0 to 1: the upper end of its bucket.
func (h *Histogram) Percentile(p float64) time.Duration {
	rank, seen := max(1, uint64(math.Round(p*float64(h.Len())))), uint64(0)
	for i := range h.counts {
		if seen += uint64(h.counts[i].Load()); seen >= rank {
			return top(i)
		}
	}
	return top(buckets - 1)
}

package engine

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/onehop-go/onehop/policy"
)

func TestBucketsAreInOrderAndKnowTheirValues(t *testing.T) {
	last := -1
	for us := int64(0); us < 4_000_000_000; us = us + 1 + us/50 {
		d := time.Duration(us) * time.Microsecond
		b := bucketOf(d)
		if b < last {
			t.Fatalf("%v is in bucket %d, below %d of a shorter one", d, b, last)
		}
		last = b
		if m := top(b); m <= d || m-d > d/8+time.Microsecond {
			t.Fatalf("%v is in bucket %d, which ends at %v", d, b, m)
		}
	}
	for _, d := range []time.Duration{-time.Second, math.MaxInt64} {
		if b := bucketOf(d); b < 0 || b >= buckets {
			t.Errorf("%v is in bucket %d", d, b)
		}
	}
}

func TestPercentiles(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	var h Histogram
	list := make([]time.Duration, 4000)
	for i := range list {
		list[i] = time.Duration(math.Exp(random.NormFloat64()) * 20 * float64(time.Millisecond))
		h.Sample(list[i])
	}
	slices.Sort(list)
	for _, p := range []float64{0.5, 0.9, 0.95, 0.99, 0.999} {
		want := list[int(p*float64(len(list)))-1]
		if got := h.Percentile(p); math.Abs(float64(got-want)) > float64(want)/8 {
			t.Errorf("p%v = %v, want %v", 100*p, got, want)
		}
	}
}

func TestFadingHalvesAndKeepsThePercentile(t *testing.T) {
	var h Histogram
	for i := range 1000 {
		h.Sample(time.Duration(i%10) * time.Second)
	}
	before := h.Percentile(0.9)
	h.Fade()
	if n, after := h.Len(), h.Percentile(0.9); n != 500 || after != before {
		t.Errorf("%d samples of 1000 are left, p90 %v was %v", n, after, before)
	}
}

// What a route hedges by is what its answers took of late: those of before fade away.
func TestTheHedgeFollows(t *testing.T) {
	r := rule{Settings: policy.Settings{Hedge: 0.1}, stats: &stats{}}
	now := time.Duration(0)
	calls := func(n int, latency time.Duration) time.Duration {
		for range n {
			now += time.Millisecond
			r.observe(now, latency)
		}
		return time.Duration(r.delay.Load())
	}
	if d := calls(hedgeSamples-1, time.Second); d != 0 {
		t.Errorf("a hedge after %v by too few samples", d)
	}
	if d := calls(1, time.Second); d < time.Second {
		t.Errorf("a hedge after %v by enough of them", d)
	}
	if d := calls(20_000, time.Second); d < time.Second {
		t.Errorf("a hedge after %v where all answers take a second", d)
	}
	if d := calls(3*keptSamples, 10*time.Millisecond); d > 12*time.Millisecond {
		t.Errorf("a hedge after %v when %d answers in a row took 10 ms", d, 3*keptSamples)
	}
	if n := r.latencies.Len(); n > keptSamples+uint64(refresh/time.Millisecond) {
		t.Errorf("%d samples are kept", n)
	}
}

package engine

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
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
	list := make([]time.Duration, 4000) // fewer than fade: nothing is forgotten yet
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

func TestTheHistogramFollows(t *testing.T) {
	var h Histogram
	for range 20_000 {
		h.Sample(time.Second)
	}
	for range 5 * fade {
		h.Sample(10 * time.Millisecond)
	}
	if p := h.Percentile(0.9); p > 11*time.Millisecond {
		t.Errorf("p90 = %v after %d samples of 10 ms", p, 5*fade)
	}
}

package bench

import (
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/onehop-go/onehop/internal/engine"
)

// newHdr is the oracle: microseconds up to two hours, within a thousandth.
func newHdr() *hdrhistogram.Histogram {
	return hdrhistogram.New(1, (2 * time.Hour).Microseconds(), 3)
}

// distributions are shapes that latencies have.
var distributions = []struct {
	name string
	draw func(*rand.Rand) time.Duration
}{
	{"all alike", func(*rand.Rand) time.Duration { return 20 * time.Millisecond }},
	{"uniform", func(r *rand.Rand) time.Duration { return time.Duration(1 + r.Int64N(int64(time.Second))) }},
	{"exponential", func(r *rand.Rand) time.Duration { return time.Duration(r.ExpFloat64() * float64(5*time.Millisecond)) }},
	{"log-normal", func(r *rand.Rand) time.Duration {
		return time.Duration(math.Exp(r.NormFloat64()) * float64(20*time.Millisecond))
	}},
	{"heavy tail", func(r *rand.Rand) time.Duration {
		return time.Duration(math.Pow(1-r.Float64(), -1/1.2) * float64(time.Millisecond)) // Pareto, alpha 1.2
	}},
	{"two speeds", func(r *rand.Rand) time.Duration {
		if r.IntN(50) == 0 {
			return 2*time.Second + time.Duration(r.Int64N(int64(100*time.Millisecond)))
		}
		return 5*time.Millisecond + time.Duration(r.Int64N(int64(time.Millisecond)))
	}},
	{"microseconds", func(r *rand.Rand) time.Duration { return time.Duration(1+r.IntN(40)) * time.Microsecond }},
}

const (
	within   = 1.0 / 8 // a bucket of ours is at most so much wider than the values in it
	oracleBy = 1.0 / 1000
)

// TestHistogramAgreesWithHdrHistogram feeds both with the same samples. Each percentile of ours is the end of the bucket
// that the true value lies in: never below it, and above it by an eighth at most.
func TestHistogramAgreesWithHdrHistogram(t *testing.T) {
	for _, d := range distributions {
		t.Run(d.name, func(t *testing.T) {
			for seed := range uint64(20) {
				compare(t, rand.New(rand.NewPCG(seed, 99)), d.draw)
			}
		})
	}
}

func compare(t *testing.T, random *rand.Rand, draw func(*rand.Rand) time.Duration) {
	t.Helper()
	var ours engine.Histogram
	hdr := newHdr()
	n := 100 + random.IntN(3900)
	for range n {
		sample := min(max(draw(random), time.Microsecond), time.Hour)
		ours.Sample(sample)
		if err := hdr.RecordValue(sample.Microseconds()); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range []float64{0.01, 0.25, 0.5, 0.9, 0.95, 0.99, 0.999, 1} {
		want := time.Duration(hdr.ValueAtQuantile(100*p)) * time.Microsecond
		got := ours.Percentile(p)
		least := time.Duration(float64(want) * (1 - oracleBy))
		most := time.Duration(float64(want)*(1+within)) + time.Microsecond
		if got < least || got > most {
			t.Errorf("p%g of %d samples is %v, want %v to %v: HdrHistogram says %v", 100*p, n, got, least, most, want)
		}
	}
}

// TestHistogramHasItsSize holds what is said of it: 1 KiB of counters.
func TestHistogramHasItsSize(t *testing.T) {
	if size := unsafe.Sizeof(engine.Histogram{}); size != 1<<10 {
		t.Errorf("%d bytes, want 1 KiB", size)
	}
}

// latencySamples are drawn before the clock runs.
func latencySamples() []time.Duration {
	random := rand.New(rand.NewPCG(7, 8))
	list := make([]time.Duration, 1<<12)
	for i := range list {
		list[i] = time.Duration(math.Exp(random.NormFloat64()) * float64(20*time.Millisecond))
	}
	return list
}

// BenchmarkHistogramSample is the price of a sample, with the bytes that each kind of histogram holds. Ours is safe for
// concurrent use; HdrHistogram's is where it is locked.
func BenchmarkHistogramSample(b *testing.B) {
	samples := latencySamples()
	b.Run("onehop", func(b *testing.B) {
		var h engine.Histogram
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			h.Sample(samples[i&(len(samples)-1)])
		}
		b.ReportMetric(float64(unsafe.Sizeof(h)), "bytes")
	})
	for _, digits := range []int{1, 3} {
		b.Run(fmt.Sprintf("hdrhistogram/%d_digits", digits), func(b *testing.B) {
			h := hdrhistogram.New(1, (2 * time.Hour).Microseconds(), digits)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				_ = h.RecordValue(samples[i&(len(samples)-1)].Microseconds())
			}
			b.ReportMetric(float64(h.ByteSize()), "bytes")
		})
	}
	b.Run("hdrhistogram/1_digits_locked", func(b *testing.B) {
		h := hdrhistogram.New(1, (2 * time.Hour).Microseconds(), 1)
		var mu sync.Mutex
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			mu.Lock()
			_ = h.RecordValue(samples[i&(len(samples)-1)].Microseconds())
			mu.Unlock()
		}
		b.ReportMetric(float64(h.ByteSize()), "bytes")
	})
}

// BenchmarkHistogramPercentile is the price of reading a percentile, which a route that hedges does once in 10 ms.
func BenchmarkHistogramPercentile(b *testing.B) {
	var ours engine.Histogram
	hdr := newHdr()
	for _, s := range latencySamples() {
		ours.Sample(s)
		if err := hdr.RecordValue(s.Microseconds()); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("onehop", func(b *testing.B) {
		for b.Loop() {
			ours.Percentile(.99)
		}
	})
	b.Run("hdrhistogram", func(b *testing.B) {
		for b.Loop() {
			hdr.ValueAtQuantile(99)
		}
	})
}

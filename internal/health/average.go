package health

import (
	"math"
	"sync/atomic"
	"time"
)

// tau is the time in which old evidence loses weight e-fold: Finagle's and Linkerd's peak EWMA use the same 10 s.
const tau = 10 * time.Second

// A decaying value lives in one word, a float32 beside a millisecond stamp, so that an update is one compare and swap
// and a reader never sees a value with another's stamp. The stamp wraps after 49 days without harm: the value then
// decays once too little.
func pack(v float64, ms uint32) uint64 { return uint64(math.Float32bits(float32(v)))<<32 | uint64(ms) }

func unpack(w uint64) (v float64, ms uint32) {
	return float64(math.Float32frombits(uint32(w >> 32))), uint32(w)
}

func millis(now time.Duration) uint32 { return uint32(now / time.Millisecond) }

// decay is e^-(now-stamp)/tau. A stamp ahead of now (another goroutine was later) does not decay.
func decay(now, stamp uint32) float64 {
	return exp(max(0, int32(now-stamp))) // the difference of stamps that wrap
}

// exp is e^-ms/tau within 4e-7, to either side of 0. Every pick asks for one and waits for it: math.Exp would be a good
// part of its price, and so would branches that nobody can foretell. The power of two that it is has its whole part in the
// exponent of a float already, and its fraction f in the mantissa; 2^f is 1 + f, and a polynomial that is 0 at both ends.
func exp(ms int32) float64 {
	const (
		mantissa = 1<<52 - 1
		one      = 1023 << 52
		perMilli = 649732084856 // log2(e) by tau, of the mantissa
	)
	power := one - int64(max(-farthest, min(ms, farthest)))*perMilli
	f := math.Float64frombits(uint64(power&mantissa|one)) - 1
	f2 := f * f
	bow := (0.3068511912776003 + f*0.06667825842841796) + f2*(0.01086665279783599+f*0.001896461087887503)
	return (1 + f - (f-f2)*bow) * math.Float64frombits(uint64(power&^mantissa))
}

// farthest is where exp stops: 600 tau, 2^-866.
const farthest = int32(600 * tau / time.Millisecond)

// latency is a peak EWMA in seconds: a sample above it is taken at once, one below it pulls by age. The zero value has
// no sample.
type latency struct{ word atomic.Uint64 }

// read is the decayed average, 0 without a sample.
func (l *latency) read(now uint32) float64 {
	w := l.word.Load()
	if w == 0 {
		return 0
	}
	v, at := unpack(w)
	return v * decay(now, at)
}

// sample takes one latency in seconds.
func (l *latency) sample(now uint32, x float64) {
	l.update(now, func(v, d float64) float64 {
		if v*d < x {
			return x
		}
		return v*d + x*(1-d)
	})
}

// raise lifts the average to x where it is lower: an attempt that was given up after x took at least that long.
func (l *latency) raise(now uint32, x float64) {
	l.update(now, func(v, d float64) float64 { return max(v*d, x) })
}

// hold keeps the average as it is: an answer that failed is no sample, and the endpoint must not look the faster the
// longer it fails while its peers are measured anew.
func (l *latency) hold(now uint32) {
	if l.word.Load() != 0 {
		l.update(now, func(v, _ float64) float64 { return v })
	}
}

func (l *latency) update(now uint32, f func(v, d float64) float64) {
	for {
		w := l.word.Load()
		v, at := unpack(w)
		next := pack(max(f(v, decay(now, at)), math.SmallestNonzeroFloat32), now)
		if l.word.CompareAndSwap(w, next) {
			return
		}
	}
}

// failures is 1 minus the success share: it decays with age and moves by 1/16 of each outcome. The zero value has
// never failed.
type failures struct{ word atomic.Uint64 }

const (
	shareGain = 1.0 / 16
	// leastFailures is what is too little to tell two endpoints apart: without it one that failed once loses every
	// comparison with an equal peer for as long as a float can hold the rest of its shame.
	leastFailures = 0.01
)

// read is the failure share, 0 to 1.
func (f *failures) read(now uint32) float64 {
	w := f.word.Load()
	if w>>32 == 0 {
		return 0
	}
	v, at := unpack(w)
	if v *= decay(now, at); v < leastFailures {
		return 0
	}
	return v
}

// none says that the share is nought, without looking at the time.
func (f *failures) none() bool { return f.word.Load()>>32 == 0 }

// add takes one outcome, 1 a failure and 0 a success.
func (f *failures) add(now uint32, x float64) {
	for {
		w := f.word.Load()
		if w>>32 == 0 && x == 0 {
			return // the healthy way writes nothing
		}
		v, at := unpack(w)
		v *= decay(now, at)
		v += (x - v) * shareGain
		if v < 1e-4 {
			v = 0
		}
		if f.word.CompareAndSwap(w, pack(v, now)) {
			return
		}
	}
}

func (f *failures) set(now uint32, v float64) { f.word.Store(pack(v, now)) }

// Mean is a plain EWMA in seconds with gain 1/64: what an answer usually takes. The zero value has no sample. Safe for
// concurrent use.
type Mean struct{ bits atomic.Uint64 }

const meanGain = 1.0 / 64

// Read is the mean in seconds; 0: no sample yet.
func (m *Mean) Read() float64 { return math.Float64frombits(m.bits.Load()) }

// Sample takes one time in seconds.
func (m *Mean) Sample(x float64) {
	for {
		w := m.bits.Load()
		v := math.Float64frombits(w)
		if w == 0 {
			v = x
		} else {
			v += (x - v) * meanGain
		}
		if m.bits.CompareAndSwap(w, math.Float64bits(v)) {
			return
		}
	}
}

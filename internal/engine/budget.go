package engine

import (
	"math"
	"sync/atomic"
	"time"
)

const (
	slots = 10 // seconds of answers that bound the budget
	milli = 1000
)

// budget is the retry budget of an upstream: what may be spent on retries is earned by answers, never by time. Tokens
// begin at min; an ok adds ratio; the cap is ratio times the oks of the last 10 s, or min if that is more, so that a
// busy caller can move everything in flight off a dead endpoint at once. Safe for concurrent use.
type budget struct {
	tokens atomic.Int64 // thousandths
	cap    atomic.Int64 // thousandths, as of the second that stamp names
	second atomic.Int64
	oks    [slots]atomic.Int64
	start  atomic.Bool
}

// deposit is one ok.
func (b *budget) deposit(now time.Duration, ratio float64, least int) {
	b.turn(now, ratio, least)
	b.oks[int(now/time.Second)%slots].Add(1)
	if t := b.tokens.Load(); t < b.cap.Load() {
		b.tokens.Add(int64(ratio * milli))
	}
}

// withdraw takes one token, if there is one.
func (b *budget) withdraw(now time.Duration, ratio float64, least int) bool {
	b.turn(now, ratio, least)
	for {
		t := min(b.tokens.Load(), b.cap.Load())
		if t < milli {
			return false
		}
		old := b.tokens.Load()
		if b.tokens.CompareAndSwap(old, min(old, b.cap.Load())-milli) {
			return true
		}
	}
}

// left is the share of the cap that is left, 0 to 1.
func (b *budget) left() float64 {
	c := b.cap.Load()
	if c == 0 {
		return 0
	}
	return math.Min(1, float64(b.tokens.Load())/float64(c))
}

// turn begins a new second: the slots it passed are emptied, and the cap computed from the rest.
func (b *budget) turn(now time.Duration, ratio float64, least int) {
	second := int64(now / time.Second)
	last := b.second.Load()
	if second == last && b.start.Load() {
		return
	}
	if !b.second.CompareAndSwap(last, second) && b.start.Load() {
		return // another goroutine turns
	}
	for s := max(last+1, second-slots+1); s <= second; s++ {
		b.oks[s%slots].Store(0)
	}
	sum := int64(0)
	for i := range b.oks {
		sum += b.oks[i].Load()
	}
	b.cap.Store(max(int64(least)*milli, int64(ratio*milli*float64(sum))))
	if b.start.CompareAndSwap(false, true) {
		b.tokens.Store(int64(least) * milli)
	}
}

package engine

import (
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
	past   atomic.Int64 // oks of the last 10 s but for the present second
	second atomic.Int64
	oks    [slots]atomic.Int64
	start  atomic.Bool
}

// deposit is one ok.
func (b *budget) deposit(now time.Duration, ratio float64, least int) {
	b.turn(now, least)
	b.oks[slot(now)].Add(1)
	if b.tokens.Load() < b.cap(ratio, least) {
		b.tokens.Add(int64(ratio * milli))
	}
}

// withdraw takes one token, if there is one.
func (b *budget) withdraw(now time.Duration, ratio float64, least int) bool {
	b.turn(now, least)
	for {
		old := b.tokens.Load()
		t := min(old, b.cap(ratio, least))
		if t < milli {
			return false
		}
		if b.tokens.CompareAndSwap(old, t-milli) {
			return true
		}
	}
}

// left is the share of the cap that is left, 0 to 1.
func (b *budget) left(now time.Duration, ratio float64, least int) float64 {
	b.turn(now, least)
	c := b.cap(ratio, least)
	if c == 0 {
		return 0
	}
	return min(1, float64(b.tokens.Load())/float64(c))
}

// cap grows with each ok, so that a burst has earned its retries before its first second is over.
func (b *budget) cap(ratio float64, least int) int64 {
	oks := b.past.Load() + b.oks[b.second.Load()%slots].Load()
	return max(int64(least)*milli, int64(ratio*milli*float64(oks)))
}

func slot(now time.Duration) int { return int(now/time.Second) % slots }

// turn begins a new second: the slots it passed are emptied, and the rest summed.
func (b *budget) turn(now time.Duration, least int) {
	second := int64(now / time.Second)
	last := b.second.Load()
	if second <= last && b.start.Load() { // a goroutine with an older clock turns nothing back
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
	b.past.Store(sum - b.oks[second%slots].Load())
	if b.start.CompareAndSwap(false, true) {
		b.tokens.Store(int64(least) * milli)
	}
}

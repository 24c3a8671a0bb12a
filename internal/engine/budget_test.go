package engine

import (
	"sync"
	"testing"
	"time"
)

// The budget's rows: deposits and withdrawals at instants, and how many withdrawals succeed.
func TestBudget(t *testing.T) {
	type event struct {
		at        time.Duration
		oks, asks int
		want      int // granted of asks
	}
	s := time.Second
	rows := []struct {
		name   string
		ratio  float64
		least  int
		events []event
	}{
		{"min from the start", 0.1, 10, []event{{0, 0, 20, 10}}},
		{"no min, none", 0.1, 0, []event{{0, 0, 1, 0}}},
		{"oks earn", 0.1, 10, []event{{0, 0, 20, 10}, {s / 2, 30, 20, 3}}},
		{"a burst earns within its first second", 0.1, 10, []event{{0, 1000, 200, 100}}},
		{"oks of the last seconds lift the cap", 0.1, 10, []event{{0, 1000, 0, 0}, {s, 1000, 300, 200}}},
		{"time earns nothing", 0.1, 10, []event{{0, 0, 10, 10}, {time.Hour, 0, 1, 0}}},
		{"the cap falls when oks are old", 0.1, 10, []event{{0, 1000, 0, 0}, {s, 1000, 0, 0}, {9 * s, 0, 0, 0}, {12 * s, 0, 200, 10}}},
		{"a busy past does not outlive its ten seconds", 0.1, 1, []event{{0, 1000, 0, 0}, {s, 1000, 0, 0}, {30 * s, 0, 50, 1}}},
		{"oks of nine seconds ago count", 0.1, 10, []event{{0, 1000, 0, 0}, {9 * s, 0, 200, 100}}},
		{"those of ten seconds ago do not", 0.1, 10, []event{{0, 1000, 0, 0}, {10 * s, 0, 200, 10}}},
		{"a goroutine that is late counts no ok twice", 0.1, 10, []event{{0, 60, 0, 0}, {s, 20, 0, 0}, {0, 10, 20, 10}}},
		{"a ratio of 0 earns nothing", 0, 2, []event{{0, 500, 3, 2}, {s, 500, 3, 0}}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			var b budget
			for i, e := range row.events {
				now := time.Hour + e.at
				for range e.oks {
					b.deposit(now, row.ratio, row.least)
				}
				got := 0
				for range e.asks {
					if b.withdraw(now, row.ratio, row.least) {
						got++
					}
				}
				if got != e.want {
					t.Errorf("event %d: %d of %d granted, want %d", i, got, e.asks, e.want)
				}
			}
		})
	}
}

func TestBudgetLeft(t *testing.T) {
	var b budget
	if got := b.left(time.Hour, 0.1, 0); got != 0 {
		t.Errorf("%v is left of nothing", got)
	}
	b = budget{}
	for range 5 {
		b.withdraw(time.Hour, 0.1, 10)
	}
	if got := b.left(time.Hour, 0.1, 10); got != 0.5 {
		t.Errorf("left %v of 10 after 5", got)
	}
}

func TestBudgetUnderConcurrency(t *testing.T) {
	var b budget
	var all sync.WaitGroup
	granted := make([]int, 8)
	for w := range granted {
		all.Go(func() {
			for i := range 1000 {
				if b.withdraw(time.Hour+time.Duration(i)*10*time.Millisecond, 0.1, 10) {
					granted[w]++
				}
			}
		})
	}
	all.Wait()
	sum := 0
	for _, g := range granted {
		sum += g
	}
	if sum != 10 {
		t.Errorf("%d granted of a budget of 10", sum)
	}
}

// TestAnOlderClockTurnsNothingBack: goroutines read the clock before they come here, and may come in another order.
func TestAnOlderClockTurnsNothingBack(t *testing.T) {
	var b budget
	for range 100 {
		b.deposit(5*time.Second, 1, 0)
	}
	b.deposit(4999*time.Millisecond, 1, 0)
	b.deposit(5*time.Second, 1, 0)
	if got := b.cap(1, 0); got < 100*milli {
		t.Errorf("of 102 good answers the cap remembers %d", got/milli)
	}
}

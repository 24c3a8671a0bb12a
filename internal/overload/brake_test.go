package overload

import (
	"math"
	"sync"
	"testing"
	"time"
)

// window ends a window of these completions, with the last of them.
func window(b *Brake, now time.Duration, ok, bad int) {
	b.began.Store(int64(now - fullTime))
	last := Good
	if ok == 0 {
		last = Bad
	}
	b.ok.Store(int64(max(ok-1, 0)))
	b.bad.Store(int64(bad))
	if last == Bad {
		b.bad.Add(-1)
	}
	b.inflight.Add(1)
	b.Done(now, last)
}

func TestNextLimit(t *testing.T) {
	rows := []struct {
		name     string
		limit    float64 // before; 0: off
		peak     int64
		ok, bad  int
		inflight int64
		want     float64
		before   string // of the window: "armed", "refused"
	}{
		{"off stays off while few are bad", 0, 0, 20, 0, 100, 0, ""},
		{"off stays off just below nine tenths", 0, 0, 11, 89, 100, 0, ""},
		{"nine tenths bad: on, below what is in flight", 0, 0, 10, 90, 99, 80, "armed"},
		{"all bad: on", 0, 0, 0, 20, 9, 8, "armed"},
		{"the first bad window only arms", 0, 0, 0, 20, 9, 0, ""},
		{"a call was refused: looser by a tenth, whatever is in flight now", 100, 100, 20, 0, 1, 110, "refused"},
		{"refused and bad: tighter", 50, 50, 0, 20, 49, 40, "refused"},
		{"still bad: tighter", 50, 50, 0, 20, 49, 40, ""},
		{"still bad, far below the limit: what is in flight counts", 50, 50, 0, 20, 9, 8, ""},
		{"never below one", 1, 50, 0, 20, 0, 1, ""},
		{"busy: looser by a tenth", 100, 100, 20, 0, 70, 110, ""},
		{"busy: looser by one at least", 2, 100, 20, 0, 2, 3, ""},
		{"busy includes the border", 10, 100, 20, 0, 7, 11, ""},
		{"neither: as it is", 100, 100, 20, 0, 50, 100, ""},
		{"just above idle: as it is", 100, 100, 20, 0, 20, 100, ""},
		{"idle: drifts up", 100, 100, 20, 0, 19, 110, ""},
		{"above ten times the peak: off", 100, 10, 20, 0, 5, 0, ""},
		{"at ten times the peak: on", 90.9, 10, 20, 0, 1, 99.99, ""},
		{"the peak follows what is in flight", 99, 10, 20, 0, 11, 108.9, ""},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			b := &Brake{peak: row.peak, armed: row.before == "armed"}
			b.refused.Store(row.before == "refused")
			b.limit.Store(math.Float64bits(row.limit))
			b.inflight.Store(row.inflight)
			window(b, time.Minute, row.ok, row.bad)
			if got := b.Limit(); math.Abs(got-row.want) > 1e-9 {
				t.Errorf("limit = %v, want %v", got, row.want)
			}
		})
	}
}

func TestWindow(t *testing.T) {
	rows := []struct {
		name string
		age  time.Duration
		bad  int
		on   bool
	}{
		{"full", fullTime, fullCount, true},
		{"too short", fullTime - 1, fullCount, false},
		{"too few", fullTime, fullCount - 1, false},
		{"old and too few", staleTime, fullCount - 1, false},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			b := Brake{armed: true}
			b.began.Store(int64(time.Minute))
			b.inflight.Store(int64(row.bad))
			for range row.bad {
				b.Done(time.Minute+row.age, Bad)
			}
			if b.On() != row.on {
				t.Errorf("on = %v", b.On())
			}
		})
	}
}

func TestTwoBadWindowsInARowTurnItOn(t *testing.T) {
	rows := []struct {
		name string
		bad  []int // of 20 in each window
		on   bool
	}{
		{"one", []int{20}, false},
		{"two", []int{18, 18}, true},
		{"two with a better one between", []int{20, 17, 20}, false},
		{"and then two", []int{20, 17, 20, 20}, true},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			var b Brake
			for i, bad := range row.bad {
				window(&b, time.Minute+time.Duration(i)*time.Second, 20-bad, bad)
			}
			if b.On() != row.on {
				t.Errorf("on = %v", b.On())
			}
		})
	}
}

func TestARefusalIsOfItsWindow(t *testing.T) {
	var b Brake
	b.limit.Store(math.Float64bits(10))
	b.inflight.Store(10)
	if b.Admit() {
		t.Fatal("admitted above the limit")
	}
	b.Refuse()
	b.inflight.Store(5)
	window(&b, time.Minute, 20, 0)
	if got := b.Limit(); got != 11 {
		t.Fatalf("limit %v after a refusal, want 11", got)
	}
	window(&b, 2*time.Minute, 20, 0)
	if got := b.Limit(); got != 11 {
		t.Errorf("limit %v: a refusal of the window before still counts", got)
	}
}

func TestStaleWindowTurnsTheBrakeOff(t *testing.T) {
	var b Brake
	b.limit.Store(math.Float64bits(5))
	b.began.Store(int64(time.Minute))
	b.Admit()
	b.Done(time.Minute+staleTime-1, Bad)
	if !b.On() {
		t.Fatal("off before the window was stale")
	}
	b.Admit()
	b.Done(time.Minute+staleTime, Bad)
	if b.On() {
		t.Fatal("on though nothing was learned in 10 s")
	}
}

func TestSilentCallsSayNothing(t *testing.T) {
	var b Brake
	b.began.Store(int64(time.Minute))
	for range 100 {
		b.Admit()
		b.Done(time.Minute+time.Second, Silent)
	}
	if n := b.ok.Load() + b.bad.Load(); n != 0 || b.On() {
		t.Errorf("%d completions counted, on = %v", n, b.On())
	}
}

func TestAdmit(t *testing.T) {
	var b Brake
	for range 1000 {
		if !b.Admit() {
			t.Fatal("refused though there is no limit")
		}
	}
	b.inflight.Store(0)
	b.limit.Store(math.Float64bits(2.5))
	for range 2 {
		if !b.Admit() {
			t.Fatal("refused below the limit")
		}
	}
	if b.Admit() {
		t.Fatal("admitted above the limit")
	}
	b.Refuse()
	b.Done(0, Silent)
	if !b.Admit() {
		t.Fatal("refused after another had ended")
	}
	if n := b.inflight.Load(); n != 2 {
		t.Errorf("%d in flight, want 2", n)
	}
}

func TestTheLimitItselfIsAllowed(t *testing.T) {
	var b Brake
	b.limit.Store(math.Float64bits(1))
	if !b.Admit() {
		t.Error("refused the one call that a limit of 1 allows")
	}
	if b.Admit() {
		t.Error("admitted a second")
	}
}

func TestConcurrentCallsLeaveNothingInFlight(t *testing.T) {
	var b Brake
	var all sync.WaitGroup
	for w := range 8 {
		all.Go(func() {
			for i := range 5000 {
				now := time.Duration(w*5000+i) * time.Millisecond
				if !b.Admit() {
					b.Refuse()
					continue
				}
				b.Done(now, Verdict(i%3))
			}
		})
	}
	all.Wait()
	if n := b.inflight.Load(); n != 0 {
		t.Errorf("%d in flight", n)
	}
}

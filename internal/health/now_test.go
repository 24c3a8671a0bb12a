package health

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestInstantsArePositiveInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := Now()
		if a <= 0 {
			t.Fatalf("Now = %v: counts by second, and 0 for never, would break", a)
		}
		time.Sleep(time.Second)
		if d := Now() - a; d != time.Second {
			t.Errorf("a second later by %v", d)
		}
	})
}

func TestInstantsAreMonotonicOutsideBubbles(t *testing.T) {
	if epoch.String() == epoch.Round(0).String() {
		t.Error("the epoch has lost its monotonic reading: a jump of the wall clock would move all instants")
	}
	if d := time.Since(Time(Now())); d < 0 || d > time.Minute {
		t.Errorf("Time(Now()) is %v ago", d)
	}
}

package health

import (
	"math"
	"testing"
	"time"

	"github.com/onehop-go/onehop/resolver"
)

func TestSlowStartBeginsAtTheInstancesOwnStart(t *testing.T) {
	now := Now()
	at := Time(now)
	for _, row := range []struct {
		name    string
		started time.Time
		since   time.Duration
		want    time.Duration
	}{
		{"it does not say", time.Time{}, now, now},
		{"the catalogue's index", time.Unix(0, 4711), now, now},
		{"a clock that was never set", time.Date(1999, 12, 31, 23, 59, 59, 0, time.UTC), now, now},
		{"warm for long", time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC), now, now - at.Sub(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC))},
		{"four seconds ago", at.Add(-4 * time.Second), now, now - 4*time.Second},
		{"its clock is ahead", at.Add(time.Minute), now, now},
		{"one of the first", at, 0, 0},
	} {
		m := resolver.Endpoint{Started: row.started}
		if got := slowFrom(&m, row.since); (got - row.want).Abs() > time.Millisecond {
			t.Errorf("%s: %v, want %v", row.name, got-now, row.want-now)
		}
	}
}

// A call is admitted to a datacenter by the shares and picks there; a retry may leave it.
func TestACallStaysInTheDatacenterItWasAdmittedTo(t *testing.T) {
	inWorld(t, 1, func(w *world) {
		half := Tier{Members: members(2), Missing: 2}
		w.Update(Now(), half, Tier{Members: members(2)}) // of the own one half is critical: 0.7 to 0.3
		n, far := 20_000, 0
		for range n {
			place := w.Place()
			far += place
			e, _ := w.Pick(Now(), w.View(), Want{Place: place})
			if e.tier != place {
				t.Fatalf("admitted to %d, picked in %d", place, e.tier)
			}
			w.Pick(Now(), w.View(), Want{Place: place, Tried: []*Endpoint{e}})
		}
		if share := float64(far) / float64(n); math.Abs(share-0.3) > 0.02 {
			t.Errorf("%.2f of the calls left the datacenter; want 0.3", share)
		}
		own := w.View().All[:2]
		for range 10 {
			if e, _ := w.Pick(Now(), w.View(), Want{Tried: own}); e.tier != 1 {
				t.Fatal("a call that tried all of its own datacenter stayed in it")
			}
		}
		if e, _ := w.Pick(Now(), w.Narrow(own), Want{Place: 1}); e == nil {
			t.Error("nobody was picked where nobody of the datacenter is connected")
		}
	})
}

// TestADatacenterRegainsItsShareByPicks: nothing else runs, and each step is taken as soon as it is due.
func TestADatacenterRegainsItsShareByPicks(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		t := w.t
		own := func(want float64) {
			t.Helper()
			w.Pick(Now(), w.View(), Want{})
			near(t, "share of the own datacenter", w.View().shares[0], want)
		}
		w.Update(Now(), Tier{Members: members(1), Missing: 9}, Tier{Members: members(4)})
		own(0.14)
		w.Update(Now(), Tier{Members: members(1)}, Tier{Members: members(4)})
		time.Sleep(11*time.Second - 1)
		own(0.14)
		time.Sleep(time.Nanosecond)
		own(0.28) // a tenth of its health each second, and 1.4 times that of the calls
		time.Sleep(time.Second)
		own(0.42)
		time.Sleep(time.Minute)
		own(1)
	})
}

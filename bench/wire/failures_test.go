package wire

import (
	"testing"
	"time"
)

// Calls are judged by when they were due: those due before the failure do not count, whenever they ended.
func TestTrialCountsWhatWasDueAfterTheFailure(t *testing.T) {
	began := time.Now()
	s := samples{Began: began, Latency: make([]time.Duration, 100), Failed: []int{60, 79}}
	for i := range s.Latency {
		s.Latency[i] = time.Second // before
		if i >= 50 {
			s.Latency[i] = time.Duration(i) * time.Millisecond
		}
	}
	got := newTrial(&s, began.Add(50*time.Millisecond))
	want := trial{calls: 50, failed: 2, last: 30 * time.Millisecond, p99: 99 * time.Millisecond, p999: 99 * time.Millisecond}
	if *got != want {
		t.Errorf("got  %+v\nwant %+v", *got, want)
	}
}

func TestLeftAloneIsTheLastSlotAboveATenthOfTheShare(t *testing.T) {
	for _, row := range []struct {
		ledger  []int64 // a fair share is 10
		reached int64
		alone   time.Duration
	}{
		{[]int64{0, 0, 0}, 0, 0},
		{[]int64{10, 9, 1, 0, 1, 0}, 21, 2 * slot}, // single probes are no load
		{[]int64{10, 0, 2, 0}, 12, 3 * slot},
		{[]int64{10, 10, 10}, 30, 3 * slot},
	} {
		var got trial
		if got.judge(row.ledger); got.reached != row.reached || got.alone != row.alone {
			t.Errorf("%v: %d calls, alone after %v; want %d, %v", row.ledger, got.reached, got.alone, row.reached, row.alone)
		}
	}
}

package health

import (
	"testing"
	"time"
)

// TestWhatAnAttemptTellsOfTheLatency: an answer is a sample, an end before the answer a lower bound, and what says nothing
// is none.
func TestWhatAnAttemptTellsOfTheLatency(t *testing.T) {
	const took, none = 100 * time.Millisecond, time.Duration(0)
	connected := func(after time.Duration) func(*world, time.Duration) {
		return func(w *world, start time.Duration) { w.e(0).Dialed(start + after) }
	}
	stalled := func(after time.Duration) func(*world, time.Duration) {
		return func(w *world, start time.Duration) { w.stalled.Store(int64(start + after)) }
	}
	rows := []struct {
		name   string
		before func(w *world, start time.Duration)
		r      Report
		want   time.Duration
	}{
		{"an answer", nil, Report{Outcome: OK}, took},
		{"a stream, a dial", nil, Report{Outcome: OK, Unsampled: true}, none},
		{"it waited for its connection", connected(1), Report{Outcome: OK}, none},
		{"its connection was made as it began", connected(0), Report{Outcome: OK}, none},
		{"its connection was there", connected(-1), Report{Outcome: OK}, took},
		{"it waited for us", stalled(1), Report{Outcome: OK}, none},
		{"it began when our stall was over", stalled(0), Report{Outcome: OK}, took},
		{"the first of its service, on a route known elsewhere", nil, Report{Outcome: OK, Usual: time.Second}, took},
		{"a bad answer", nil, Report{Outcome: Failed}, none},
		{"no answer in time", nil, Report{Outcome: Failed, Timeout: true}, took},
		{"cancelled: it may take as long again", nil, Report{Outcome: Ignored, Raise: true}, 2 * took},
		{"ended by the caller's deadline", nil, Report{Outcome: Ignored, Timeout: true}, 2 * took},
		{"the caller's own doing", nil, Report{Outcome: Ignored}, none},
		{"pushed back", nil, Report{Outcome: Pushback}, none},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			inWorld(t, 2, func(w *world) {
				row.r.Start = Now()
				if row.before != nil {
					row.before(w, row.r.Start)
				}
				time.Sleep(took)
				row.r.Now = Now()
				w.Report(w.e(0), row.r)
				if got := w.e(0).Latency(Now()); (got - row.want).Abs() > time.Microsecond {
					w.t.Errorf("latency %v, want %v", got, row.want)
				}
			})
		})
	}
}

// TestTheOwnerHearsOfEachRefusal, whoever met it, and of nothing else.
func TestTheOwnerHearsOfEachRefusal(t *testing.T) {
	inWorld(t, 3, func(w *world) {
		t := w.t
		heard := map[*Endpoint]int{}
		w.env.Refused = func(e *Endpoint) { heard[e]++ }
		for o := range Injected + 1 {
			w.report(w.e(0), o)
		}
		w.report(w.e(1), Refused)
		w.Unreachable(Now(), w.e(1), errDial, refusing)
		if heard[w.e(0)] != 1 || heard[w.e(1)] != 2 || len(heard) != 2 {
			t.Errorf("heard %d of 1 and %d of 2 refusals", heard[w.e(0)], heard[w.e(1)])
		}
	})
}

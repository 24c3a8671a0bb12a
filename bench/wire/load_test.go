package wire

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"
)

// A call that is held up is measured from the moment it was due, and holds up none of those that come after it: here
// every call ends only once the last has begun.
func TestOpenLoopMeasuresFromTheMomentACallIsDue(t *testing.T) {
	const total = 20
	var begun atomic.Int32
	allBegun := make(chan struct{})
	s, err := openLoop(func(context.Context) error {
		if begun.Add(1) == total {
			close(allBegun)
		}
		<-allBegun
		return nil
	}, load{Rate: 1000, For: total * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Latency) != total || len(s.Failed) != 0 {
		t.Fatalf("%d calls, %d of them failed; want %d, none failed", len(s.Latency), len(s.Failed), total)
	}
	for i, took := range s.Latency {
		if least := time.Duration(total-1-i) * time.Millisecond; took < least {
			t.Errorf("call %d waited for one due %v later, and is said to have taken %v", i, least, took)
		}
		if s.Late[i] < 0 || s.Late[i] > took {
			t.Errorf("call %d began %v late and took %v: the lag must be part of the latency", i, s.Late[i], took)
		}
	}
}

func TestOpenLoopKeepsThePlaceOfAFailedCall(t *testing.T) {
	var n atomic.Int32
	s, err := openLoop(func(context.Context) error {
		if n.Add(1) == 1 {
			return errors.New("the first")
		}
		return nil
	}, load{Rate: 1000, For: 5 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Failed) != 1 || s.Error != "the first" || s.calls(load{Rate: 1000}) != 5 {
		t.Errorf("failed %v with %q of %d calls, want one of 5", s.Failed, s.Error, s.calls(load{Rate: 1000}))
	}
}

func TestClosedLoopHasEachCallerOneCallAtATime(t *testing.T) {
	const workers = 4
	var now, all atomic.Int32
	var tooMany atomic.Bool
	s := closedLoop(func(context.Context) error {
		defer now.Add(-1)
		if now.Add(1) > workers {
			tooMany.Store(true)
		}
		if all.Add(1)%3 == 0 {
			return errors.New("each third")
		}
		return nil
	}, load{Workers: workers, For: time.Second})
	if tooMany.Load() {
		t.Errorf("more than %d calls at one time by %d callers", workers, workers)
	}
	if got := s.calls(load{Workers: workers}); got != int(all.Load()) || len(s.Failed) != got/3 || got < workers {
		t.Errorf("told of %d calls, %d failed; there were %d, and each third failed", got, len(s.Failed), all.Load())
	}
}

func TestPercentileIsASample(t *testing.T) {
	sorted := []time.Duration{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
	for _, row := range []struct {
		q    float64
		want time.Duration
	}{{0, 1}, {0.5, 6}, {0.9, 10}, {0.999, 10}, {1, 10}} {
		if got := percentile(sorted, row.q); got != row.want {
			t.Errorf("percentile %v is %d, want %d", row.q, got, row.want)
		}
	}
	if got := percentile(nil, 0.5); got != 0 {
		t.Errorf("of nothing %v", got)
	}
}

package health

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestSoftTripOfARow(t *testing.T) {
	rows := []struct {
		name string
		run  func(w *world)
		open bool
	}{
		{"five failures over 100 ms", func(w *world) { w.fail(w.e(0), 5) }, true},
		{"four", func(w *world) { w.fail(w.e(0), 4) }, false},
		{"five within 100 ms of an ok happen by chance", func(w *world) {
			w.report(w.e(0), OK)
			time.Sleep(100*time.Millisecond - 1)
			for range 19 {
				w.report(w.e(0), Failed)
			}
		}, false},
		{"the sixth 100 ms after the ok", func(w *world) {
			w.report(w.e(0), OK)
			for range 5 {
				w.report(w.e(0), Failed)
			}
			time.Sleep(100 * time.Millisecond)
			w.report(w.e(0), Failed)
		}, true},
		{"an ok ends the row", func(w *world) {
			w.fail(w.e(0), 4)
			w.report(w.e(0), OK)
			w.fail(w.e(0), 4)
		}, false},
		{"a failure every 2.5 s: gobreaker forgets, we do not", func(w *world) {
			for range 5 {
				time.Sleep(2500 * time.Millisecond)
				w.report(w.e(0), Failed)
			}
		}, true},
		{"what says nothing counts neither way", func(w *world) {
			for range 4 {
				w.fail(w.e(0), 1)
				w.report(w.e(0), Ignored)
				w.report(w.e(0), Pushback)
			}
		}, false},
		{"peers that fail alike", func(w *world) {
			for range 8 {
				for _, e := range w.View().All {
					w.fail(e, 1)
				}
			}
		}, false},
		{"an overloaded service is no bad endpoint", func(w *world) {
			w.braking = true
			w.fail(w.e(0), 30)
		}, false},
		{"overloaded answers count like failures", func(w *world) {
			for range 5 {
				time.Sleep(spread)
				w.report(w.e(0), Overloaded)
			}
		}, true},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			inWorld(t, 3, func(w *world) {
				t := w.t
				time.Sleep(time.Minute)
				row.run(w)
				if got := !w.e(0).Available(); got != row.open {
					t.Errorf("open = %v, want %v; success %.3f", got, row.open, w.e(0).Success(Now()))
				}
			})
		})
	}
}

func TestSoftTripOfARatio(t *testing.T) {
	rows := []struct {
		name            string
		ok, bad         int
		minRequests     int
		failureRatio    float64
		consecutiveRule int
		open            bool
	}{
		{"half of 20", 10, 10, 20, 0.5, 1000, true},
		{"half of 19 is too few", 9, 10, 20, 0.5, 1000, false},
		{"below half", 21, 19, 20, 0.5, 1000, false},
		{"a third where a third is the limit", 20, 10, 20, 1.0 / 3, 1000, true},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			inWorld(t, 3, func(w *world) {
				t := w.t
				set := settings()
				set.CircuitBreaker.ConsecutiveFailures = row.consecutiveRule
				set.CircuitBreaker.MinRequests = row.minRequests
				set.CircuitBreaker.FailureRatio = row.failureRatio
				w.Configure(set)
				w.report(w.e(0), Failed) // the breaker is made, and counts from here on
				for range row.ok {
					w.report(w.e(0), OK)
				}
				for range row.bad - 1 {
					w.report(w.e(0), Failed)
				}
				if got := !w.e(0).Available(); got != row.open {
					t.Errorf("open = %v, want %v", got, row.open)
				}
			})
		})
	}
}

func TestRulesThatAreOffTripNobody(t *testing.T) {
	inWorld(t, 3, func(w *world) {
		t := w.t
		set := settings()
		set.CircuitBreaker.ConsecutiveFailures, set.CircuitBreaker.FailureRatio = 0, 0
		w.Configure(set)
		w.fail(w.e(0), 40)
		if !w.e(0).Available() {
			t.Error("opened though both rules are off")
		}
	})
}

func TestNobodyToCompareWith(t *testing.T) {
	inWorld(t, 1, func(w *world) {
		t := w.t
		w.fail(w.e(0), 40)
		if !w.e(0).Available() {
			t.Error("the only endpoint opened")
		}
	})
}

func TestThePeersMustDoClearlyBetter(t *testing.T) {
	// s_peers >= .5 + .5*s: with the suspect at .5, the border is .75.
	for _, row := range []struct {
		peers float64
		trip  bool
	}{{0.24, true}, {0.25, true}, {0.26, false}} {
		inWorld(t, 2, func(w *world) {
			t := w.t
			e, peer := w.e(0), w.e(1)
			now := millis(Now())
			e.failures.set(now, 0.5)
			peer.failures.set(now, row.peers)
			e.consec.Store(5)
			b := w.newBreaker(e)
			if got := w.shouldTrip(e, b.Counts()); got != row.trip {
				t.Errorf("peers at %.2f: trip = %v, want %v", 1-row.peers, got, row.trip)
			}
		})
	}
}

// TestPeersAreTheMeanOfTheOthers, of 64 at most.
func TestPeersAreTheMeanOfTheOthers(t *testing.T) {
	rows := []struct {
		name      string
		endpoints int
		failing   func(i int) float64 // failure share; the suspect is 0
		want      float64
		others    bool
	}{
		{"none", 1, func(int) float64 { return 1 }, 0, false},
		{"one", 2, func(i int) float64 { return 1 - 0.25*float64(i) }, 0.25, true},
		{"not the suspect itself", 3, func(i int) float64 { return []float64{1, 0, 0}[i] }, 1, true},
		{"more than the first", 3, func(i int) float64 { return []float64{1, 0, 0.5}[i] }, 0.75, true},
		{"the last that counts", 100, func(i int) float64 { return float64(i / 64) }, 63.0 / 64, true},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			inWorld(t, row.endpoints, func(w *world) {
				for i, e := range w.View().All {
					e.failures.set(millis(Now()), row.failing(i))
				}
				got, ok := w.peers(w.e(0), Now())
				near(w.t, "success of the others", got, row.want)
				if ok != row.others {
					w.t.Errorf("there are others: %v, want %v", ok, row.others)
				}
			})
		})
	}
}

func TestHardTrip(t *testing.T) {
	timeout := func(context.Context) error { return dialTimeout{} }
	rows := []struct {
		name    string
		redial  func(context.Context) error
		braking bool
		open    bool
	}{
		{"a second refusal", refusing, false, true},
		{"a second refusal under the brake: still no place to send to", refusing, true, true},
		{"the second dial connects", accepting, false, false},
		{"it times out", timeout, false, true},
		{"it times out under the brake: a full backlog looks like that", timeout, true, false},
		{"nothing to confirm with", nil, false, false},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			inWorld(t, 1, func(w *world) {
				t := w.t // nobody to compare with, and it opens
				w.braking = row.braking
				w.refuse(w.e(0), row.redial)
				if got := !w.e(0).Available(); got != row.open {
					t.Errorf("open = %v, want %v", got, row.open)
				}
			})
		})
	}
}

func TestOneConfirmingDialAtATime(t *testing.T) {
	inWorld(t, 1, func(w *world) {
		t := w.t
		w.braking = true // timed out dials confirm nothing
		dials, hold := 0, make(chan struct{})
		late := Report{Outcome: Failed, Redial: func(context.Context) error { dials++; <-hold; return dialTimeout{} }}
		for range 100 {
			late.Start, late.Now = Now(), Now()
			w.Report(w.e(0), late)
			synctest.Wait()
		}
		if dials != 1 || !w.e(0).Available() {
			t.Errorf("%d dials for 100 dials that timed out, available %v; want 1 and true", dials, w.e(0).Available())
		}
		close(hold)
	})
}

// TestASecondTryConfirms: two tries that could not connect, with none between that could, are as good as our own dial;
// dials that time out would take twice the time else.
func TestASecondTryConfirms(t *testing.T) {
	hangs := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	rows := []struct {
		name    string
		outcome Outcome
		between func(w *world)
		braking bool
		open    bool
	}{
		{"refused twice", Refused, nil, false, true},
		{"timed out twice", Failed, nil, false, true},
		{"connected between", Failed, func(w *world) { w.e(0).Dialed(Now()) }, false, false},
		{"answered between", Failed, func(w *world) { w.report(w.e(0), OK) }, false, false},
		{"timed out under the brake", Failed, nil, true, false},
		{"refused under the brake", Refused, nil, true, true},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			inWorld(t, 1, func(w *world) {
				t := w.t
				w.braking = row.braking
				try := func() {
					w.Report(w.e(0), Report{Outcome: row.outcome, Start: Now(), Now: Now(), Redial: hangs})
				}
				try()
				if !w.e(0).Available() {
					t.Fatal("one try opened it")
				}
				if row.between != nil {
					row.between(w)
				}
				try()
				if got := !w.e(0).Available(); got != row.open {
					t.Errorf("open = %v, want %v", got, row.open)
				}
			})
		})
	}
}

func TestTheOwnersEndIsNoRefusal(t *testing.T) {
	inWorld(t, 1, func(w *world) {
		t := w.t
		ctx, cancel := context.WithCancel(t.Context())
		w.env.Go = func(f func(context.Context)) bool { f(ctx); return true }
		w.refuse(w.e(0), func(ctx context.Context) error { cancel(); return ctx.Err() })
		if !w.e(0).Available() {
			t.Error("opened by a dial that Close ended")
		}
	})
}

func TestStallGuard(t *testing.T) {
	inWorld(t, 3, func(w *world) {
		t := w.t
		time.Sleep(time.Minute)
		before := Now()
		time.Sleep(2 * time.Second) // the process stands still
		late := func(r Report) Outcome { r.Outcome, r.Start, r.Now = Failed, before, Now(); return w.Report(w.e(0), r) }
		if got := late(Report{Late: 100 * time.Millisecond, Timeout: true}); got != Failed {
			t.Errorf("late by 100 ms: %v, want failed", got)
		}
		if got := late(Report{Late: 100*time.Millisecond + 1, Timeout: true}); got != Ignored {
			t.Errorf("late by more: %v, want ignored", got)
		}
		if got := late(Report{}); got != Ignored {
			t.Errorf("another attempt begun before the stall: %v, want ignored", got)
		}
		if got := w.Report(w.e(0), Report{Outcome: OK, Start: before, Now: Now()}); got != OK {
			t.Errorf("an ok is an ok: %v", got)
		}
		if got := w.Report(w.e(0), Report{Outcome: Failed, Start: Now(), Now: Now()}); got != Failed {
			t.Errorf("an attempt begun after the stall: %v, want failed", got)
		}
	})
}

func TestAStallIsNoLatency(t *testing.T) {
	inWorld(t, 2, func(w *world) {
		t := w.t
		w.report(w.e(0), OK)
		before := Now()
		time.Sleep(5 * time.Second)
		w.Report(w.e(0), Report{Outcome: Failed, Start: before, Now: Now(), Timeout: true, Raise: true, Late: 4 * time.Second})
		if l := w.e(0).Latency(Now()); l > 10*time.Millisecond {
			t.Errorf("our own stall raised the endpoint's latency to %v", l)
		}
		w.Report(w.e(0), Report{Outcome: OK, Start: before, Now: Now()})
		if l := w.e(0).Latency(Now()); l > 10*time.Millisecond {
			t.Errorf("an answer that waited for us raised the endpoint's latency to %v", l)
		}
	})
}

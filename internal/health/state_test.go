package health

import (
	"context"
	"math"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sony/gobreaker/v2"
)

// openFor is how long e will stay open from now on.
func openFor(e *Endpoint) time.Duration { return time.Duration(e.retryAt.Load()) - Now() }

func within(t *testing.T, what string, d, around time.Duration) {
	t.Helper()
	if lo, hi := around*8/10, around*12/10; d < lo || d > hi {
		t.Errorf("%s: %v, want %v to %v", what, d, lo, hi)
	}
}

func TestOpenTimeGrowsAndIsBounded(t *testing.T) {
	inWorld(t, 3, func(w *world) {
		t := w.t
		e := w.e(0)
		w.trip(e)
		for i, want := range []int{5, 10, 20, 40, 60, 60, 60} {
			within(t, "opening", time.Duration(e.retryAt.Load()-e.opened.Load()), time.Duration(want)*time.Second)
			time.Sleep(openFor(e))
			done := w.begin(Now(), e)
			if done == nil {
				t.Fatalf("opening %d: no probe", i)
			}
			done(Failed)
		}
	})
}

func TestOpenTimeIsForgottenAfterACalmTime(t *testing.T) {
	for _, row := range []struct {
		calm time.Duration
		want time.Duration
	}{{30 * time.Second, 10 * time.Second}, {30*time.Second + 1, 5 * time.Second}} {
		inWorld(t, 3, func(w *world) {
			t := w.t
			e := w.e(0)
			w.open(Now(), e, nil)
			w.close(Now(), e)
			time.Sleep(row.calm)
			w.open(Now(), e, nil)
			within(t, "second opening", openFor(e), row.want)
		})
	}
}

func TestOpenTimeIsSpread(t *testing.T) {
	lo, hi := 1.0, 1.0
	for range 1000 {
		f := float64(jitter(time.Second)) / float64(time.Second)
		lo, hi = min(lo, f), max(hi, f)
	}
	if lo < 0.8 || lo > 0.82 || hi > 1.2 || hi < 1.18 {
		t.Errorf("jitter is %.3f to %.3f, want .8 to 1.2", lo, hi)
	}
}

func TestTheWholeListWhenNoneIsAvailable(t *testing.T) {
	inWorld(t, 3, func(w *world) {
		t := w.t
		for i := range 3 {
			w.refuse(w.e(i), refusing)
		}
		if n := len(w.View().Available); n != 0 {
			t.Fatalf("%d available", n)
		}
		for i := range 3 {
			within(t, "nothing is available: the next probe", openFor(w.e(i)), time.Second)
		}
		seen := map[*Endpoint]bool{}
		for range 100 {
			e, _ := w.Pick(Now(), w.View(), Want{})
			seen[e] = true
		}
		if len(seen) != 3 {
			t.Errorf("%d of 3 endpoints are used", len(seen))
		}
		if got := w.Open(); len(got) != 3 {
			t.Errorf("Open lists %d", len(got))
		}
	})
}

func TestDialProbe(t *testing.T) {
	inWorld(t, 3, func(w *world) {
		t := w.t
		e, err := w.e(0), errDial
		dials := 0
		redial := func(context.Context) error { dials++; return err }
		w.refuse(e, redial)
		pick := func(n int) {
			for range n {
				got, probe := w.Pick(Now(), w.View(), Want{Probe: true})
				if got == e || probe != nil {
					t.Fatal("a call was risked on an endpoint that a dial had opened")
				}
			}
			synctest.Wait()
		}
		pick(100)
		if dials != 1 {
			t.Fatalf("%d dials before the time was over", dials)
		}
		time.Sleep(openFor(e))
		pick(100)
		if dials != 2 || e.Available() {
			t.Fatalf("%d dials, available %v; want one probe that failed", dials, e.Available())
		}
		within(t, "after a failed probe", openFor(e), 10*time.Second)
		err = nil
		time.Sleep(openFor(e))
		w.Pick(Now(), w.View(), Want{})
		synctest.Wait()
		if !e.Available() {
			t.Error("still open after a dial that connected")
		}
	})
}

// awaitProbe lets e's open time pass, and hands out the probe: that of the next call, or of the one that the ration allows.
func (w *world) awaitProbe(e *Endpoint) func(Outcome) {
	w.t.Helper()
	time.Sleep(openFor(e))
	for range probeShare + 1 {
		if got, probe := w.Pick(Now(), w.View(), Want{Probe: true}); probe != nil && got == e {
			return probe
		}
	}
	w.t.Fatalf("no probe of %s", e.Addr())
	return nil
}

func TestProbeByACall(t *testing.T) {
	for _, row := range []struct {
		outcome   Outcome
		available bool
	}{{OK, true}, {Failed, false}, {Refused, false}, {Overloaded, false}, {Ignored, false}, {Pushback, false}} {
		t.Run(row.outcome.String(), func(t *testing.T) {
			inWorld(t, 3, func(w *world) {
				t := w.t
				e := w.e(0)
				w.trip(e)
				probe := w.awaitProbe(e)
				if got, again := w.Pick(Now(), w.View(), Want{Probe: true}); got == e || again != nil {
					t.Fatal("two probes at a time")
				}
				probe(row.outcome)
				if e.Available() != row.available {
					t.Fatalf("available = %v, want %v", e.Available(), row.available)
				}
				switch row.outcome {
				case OK:
				case Ignored, Pushback:
					if d := openFor(e); d > 0 {
						t.Errorf("due in %v after a probe that said nothing, want at once", d)
					}
					for range 50 - 1 { // rationed all the same; one pick was made above
						if got, _ := w.Pick(Now(), w.View(), Want{Probe: true}); got == e {
							t.Fatal("a probe within 50 calls of the last one")
						}
					}
					w.awaitProbe(e)(OK)
					if !e.Available() {
						t.Error("the next probe did not close it: gobreaker's slot was not freed")
					}
				default:
					within(t, "after a failed probe", openFor(e), 10*time.Second)
				}
			})
		})
	}
}

func TestProbesAreRationed(t *testing.T) {
	inWorld(t, 10, func(w *world) {
		t := w.t
		for i := range 6 { // one more than can be probed
			w.trip(w.e(i))
		}
		time.Sleep(10 * time.Second)
		probes, calls := 0, 0
		for range 5*50 + 4 {
			calls++
			if _, probe := w.Pick(Now(), w.View(), Want{Probe: true}); probe != nil {
				probe(Failed)
				probes++
			}
		}
		if probes != 5 {
			t.Errorf("%d probes in %d calls, want 5", probes, calls)
		}
	})
}

// TestAProbeIsNotTheViewsBusiness: who is avoided stays avoided, and nobody copies the list of the others for that.
func TestAProbeIsNotTheViewsBusiness(t *testing.T) {
	inWorld(t, 10, func(w *world) {
		t := w.t
		w.trip(w.e(0))
		w.refuse(w.e(1), refusing)
		before := w.View()
		for range 3 {
			time.Sleep(time.Minute)
			for range probeShare + 1 {
				if _, probe := w.Pick(Now(), w.View(), Want{Probe: true}); probe != nil {
					probe(Failed)
				}
			}
			synctest.Wait()
		}
		if w.View() != before {
			t.Error("probes that failed made a new view")
		}
		if w.e(0).opens < 3 || w.e(1).opens < 3 {
			t.Errorf("%d and %d openings, want more: the probes were not made", w.e(0).opens, w.e(1).opens)
		}
	})
}

// TestWhoIsProbedByACall: an endpoint that a dial opened only where nobody can dial.
func TestWhoIsProbedByACall(t *testing.T) {
	rows := []struct {
		name         string
		dialed, dial bool // it was opened by a dial; there is somebody who dials
		early        time.Duration
		want         bool
	}{
		{"opened by its share", false, true, 0, true},
		{"before its time", false, true, 1, false},
		{"opened by a dial: probed by one", true, true, 0, false},
		{"but nobody dials", true, false, 0, true},
		{"by its share, and nobody dials", false, false, 0, true},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			inWorld(t, 3, func(w *world) {
				var redial func(context.Context) error
				if row.dialed {
					redial = refusing
				}
				w.trip(w.e(0))
				w.e(0).redial = redial
				if !row.dial {
					w.env.Go = nil
				}
				time.Sleep(openFor(w.e(0)) - row.early)
				e, done := w.probe(Now(), w.View())
				if (e == w.e(0)) != row.want || (done != nil) != row.want {
					w.t.Errorf("probed: %v, want %v", e != nil, row.want)
				}
			})
		})
	}
}

func TestNoProbeByACallThatMustNot(t *testing.T) {
	inWorld(t, 3, func(w *world) {
		t := w.t
		e := w.e(0)
		w.trip(e)
		time.Sleep(time.Minute)
		for range 200 {
			if got, probe := w.Pick(Now(), w.View(), Want{}); got == e || probe != nil {
				t.Fatal("a call that may not be repeated was risked")
			}
		}
		set := settings()
		set.Apply = false
		w.Configure(set)
		for range 200 {
			if _, probe := w.Pick(Now(), w.View(), Want{Probe: true}); probe != nil {
				t.Fatal("probe though breakers are only observed")
			}
		}
	})
}

func TestProbeThatNeverReports(t *testing.T) {
	inWorld(t, 3, func(w *world) {
		t := w.t
		e := w.e(0)
		w.trip(e)
		lost := w.awaitProbe(e)
		time.Sleep(30*time.Second - 1)
		w.Pick(Now(), w.View(), Want{})
		if s := e.state.Load(); s != probing {
			t.Fatalf("state %d before its 30 s are over, want probing", s)
		}
		time.Sleep(time.Nanosecond)
		w.Pick(Now(), w.View(), Want{})
		if s := e.state.Load(); s != open {
			t.Fatalf("state %d after 30 s without a report, want open", s)
		}
		within(t, "next probe", openFor(e), 10*time.Second)
		lost(OK)
		if e.Available() {
			t.Error("the report of a probe that had failed already closed it")
		}
		w.awaitProbe(e)(OK)
		if !e.Available() {
			t.Error("the next probe could not close it")
		}
	})
}

func TestCloseByALateOK(t *testing.T) {
	inWorld(t, 3, func(w *world) {
		t := w.t
		e := w.e(0)
		w.trip(e)
		opened := time.Duration(e.opened.Load())
		w.Report(e, Report{Outcome: OK, Start: opened - 1, Now: Now()})
		if e.Available() {
			t.Fatal("an attempt begun before the opening closed it")
		}
		w.Report(e, Report{Outcome: OK, Start: opened, Now: Now()})
		if !e.Available() {
			t.Fatal("an ok of an attempt begun since the opening did not close it")
		}
		now := Now()
		if s := e.Success(now); s != 0.5 {
			t.Errorf("success %v after the re-admission, want .5", s)
		}
		if e.breaker.Load() != nil || e.consec.Load() != 0 || e.since.Load() != int64(now) {
			t.Error("re-admitted, but not made new")
		}
	})
}

func TestLateResultsReachADeadBreaker(t *testing.T) {
	inWorld(t, 3, func(w *world) {
		t := w.t
		e := w.e(0)
		w.trip(e)
		probe := w.awaitProbe(e)
		w.Report(e, Report{Outcome: OK, Start: Now(), Now: Now()}) // closed by another call
		probe(Failed)
		if !e.Available() {
			t.Error("the verdict of a probe that was overtaken opened it again")
		}
	})
}

func TestTheBreakerGoesAfterAQuietWindow(t *testing.T) {
	inWorld(t, 3, func(w *world) {
		t := w.t
		e := w.e(0)
		w.report(e, OK)
		if e.breaker.Load() != nil {
			t.Fatal("a breaker without a failure")
		}
		w.report(e, Failed)
		w.report(e, OK)
		if e.breaker.Load() == nil {
			t.Fatal("no breaker right after a failure")
		}
		time.Sleep(settings().CircuitBreaker.Window + bucket)
		w.report(e, OK)
		if e.breaker.Load() != nil {
			t.Error("the breaker outlived its window")
		}
	})
}

func TestThresholdsReloadWithStateIntact(t *testing.T) {
	inWorld(t, 3, func(w *world) {
		t := w.t
		w.fail(w.e(0), 6)
		if w.e(0).Available() {
			t.Fatal("did not open")
		}
		set := settings()
		set.CircuitBreaker.ConsecutiveFailures = 3
		w.Configure(set)
		if w.e(0).Available() {
			t.Error("closed by a new policy")
		}
		w.fail(w.e(1), 3)
		if w.e(1).Available() {
			t.Error("the new threshold is not obeyed")
		}
	})
}

func TestTold(t *testing.T) {
	inWorld(t, 3, func(w *world) {
		t := w.t
		e := w.e(0)
		w.trip(e)
		w.awaitProbe(e)(Failed) // open for longer is no change
		time.Sleep(time.Second)
		w.report(e, OK)
		w.Update(Now(), Tier{Members: members(3)[1:]})
		want := []string{"e0:80 opened", "e0:80 closed", "e0:80 drained"}
		if !slices.Equal(w.told, want) {
			t.Errorf("told %q, want %q", w.told, want)
		}
	})
}

func TestGobreakerStaysClosedOnTheHealthyWay(t *testing.T) {
	inWorld(t, 2, func(w *world) {
		t := w.t
		w.report(w.e(0), Failed)
		b := w.e(0).breaker.Load()
		if b.State() != gobreaker.StateClosed {
			t.Errorf("state %v after one failure", b.State())
		}
	})
}

func TestCost(t *testing.T) {
	const now = time.Minute
	base := func(change func(e *Endpoint)) *Endpoint {
		e := newEndpoint(&members(1)[0], 0)
		change(e)
		return e
	}
	weight := func(w int) func(e *Endpoint) {
		return func(e *Endpoint) { m := members(1)[0]; m.Weight = w; e.describe(&m); e.inflight.Store(3) }
	}
	const latency, slow = 0.02, 10 * time.Second
	rows := []struct {
		name string
		e    *Endpoint
		want float64
	}{
		{"plain", base(func(*Endpoint) {}), 0.02},
		{"three in flight", base(func(e *Endpoint) { e.inflight.Store(3) }), 0.08},
		{"three in flight at weight 3", base(weight(3)), 0.04},
		{"weight 0 is 1", base(weight(0)), 0.08},
		{"half its successes", base(func(e *Endpoint) { e.failures.set(millis(now), 0.5) }), 0.08},
		{"no success: 400 times", base(func(e *Endpoint) { e.failures.set(millis(now), 1) }), 8},
		{"asked for a pause", base(func(e *Endpoint) { e.Pause(now + 1) }), 0.02 * 1e6},
		{"and half its successes", base(func(e *Endpoint) { e.Pause(now + 1); e.failures.set(millis(now), 0.5) }), 0.08 * 1e6},
		{"the pause is over", base(func(e *Endpoint) { e.Pause(now) }), 0.02},
	}
	for _, row := range rows {
		if got := row.e.cost(now, latency); math.Abs(got-row.want) > 1e-3*row.want {
			t.Errorf("%s: cost %v, want %v", row.name, got, row.want)
		}
	}
}

func TestANewcomerGetsTheShareOfItsAge(t *testing.T) {
	const now, slow, n = time.Minute, 10 * time.Second, 20_000
	for _, row := range []struct {
		name  string
		since time.Duration
		want  float64
	}{
		{"never slow", 0, 1},
		{"just born", now, 0.1},
		{"half way up", now - slow/2, 0.5},
		{"grown up", now - slow, 1},
	} {
		e := newEndpoint(&members(1)[0], row.since)
		counts := 0
		for range n {
			if e.grown(now, slow) {
				counts++
			}
		}
		if got := float64(counts) / n; math.Abs(got-row.want) > 0.02 {
			t.Errorf("%s: %.3f of its draws count, want %.3f", row.name, got, row.want)
		}
		if row.want == 1 && e.since.Load() != 0 {
			t.Errorf("%s: it still pays for its ramp", row.name)
		}
	}
}

func TestPauseNeverShortens(t *testing.T) {
	e := newEndpoint(&members(1)[0], 0)
	e.Pause(time.Minute)
	e.Pause(time.Second)
	if got := time.Duration(e.paused.Load()); got != time.Minute {
		t.Errorf("paused until %v, want 1m", got)
	}
}

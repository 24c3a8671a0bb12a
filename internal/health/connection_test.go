package health

import (
	"slices"
	"testing"
	"time"
)

// TestConnectionsGoWhereTheFewestAre, for the weight; calls in flight are no connections.
func TestConnectionsGoWhereTheFewestAre(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		t := w.t
		list := members(3)
		list[0].Weight, list[1].Weight, list[2].Weight = 4, 2, 1
		w.Update(Now(), Tier{Members: list})
		for range 100 {
			w.e(0).Begin(false)
		}
		for n := 1; n <= 70; n++ {
			e, _ := w.Pick(Now(), w.View(), Want{Conn: true})
			e.Begin(true)
			for i, want := range []float64{4, 2, 1} {
				share := float64(n) * want / 7
				if got := float64(w.e(i).conns.Load()); got < share-1.5 || got > share+1.5 {
					t.Fatalf("after %d connections %v are at an endpoint of weight %v", n, got, want)
				}
			}
		}
		for range 30 { // whoever closes connections gets the next
			w.e(1).End(true)
		}
		if e, _ := w.Pick(Now(), w.View(), Want{Conn: true}); e != w.e(1) || e.conns.Load() != -10 || w.e(0).InFlight() != 100 {
			t.Errorf("%s was picked; %d connections at e1, %d calls at e0", e.Addr(), e.conns.Load(), w.e(0).InFlight())
		}
	})
}

// What a protocol that keeps connections says stands for the dials of our own.
func TestAProtocolsWordOnConnections(t *testing.T) {
	unreachable := func(err error) func(*world, *Endpoint) {
		return func(w *world, e *Endpoint) { w.Unreachable(Now(), e, err, refusing) }
	}
	connected := func(w *world, e *Endpoint) { w.Connected(Now(), e) }
	failing := func(w *world, e *Endpoint) { w.trip(e) }
	rows := []struct {
		name    string
		braking bool
		events  []func(*world, *Endpoint)
		open    bool
		told    int
	}{
		{"one failure confirms itself", false, []func(*world, *Endpoint){unreachable(errDial)}, true, 1},
		{"a dial that timed out as well", false, []func(*world, *Endpoint){unreachable(dialTimeout{})}, true, 1},
		{"but not while the service is overloaded", true, []func(*world, *Endpoint){unreachable(dialTimeout{})}, false, 0},
		{"a refusal is one all the same", true, []func(*world, *Endpoint){unreachable(errDial)}, true, 1},
		{"a connection is a successful probe", false, []func(*world, *Endpoint){unreachable(errDial), connected}, false, 2},
		{"not of one that answers badly", false, []func(*world, *Endpoint){failing, connected}, true, 1},
		{"and changes nothing for one that is well", false, []func(*world, *Endpoint){connected}, false, 0},
		{"a second failure tells nothing new", false, []func(*world, *Endpoint){unreachable(errDial), unreachable(errDial)}, true, 1},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			inWorld(t, 3, func(w *world) {
				w.braking = row.braking
				for _, f := range row.events {
					f(w, w.e(0))
				}
				if w.e(0).Available() == row.open || !w.e(1).Available() {
					w.t.Errorf("open = %v, want %v", !w.e(0).Available(), row.open)
				}
				if len(w.told) != row.told {
					w.t.Errorf("told %q, want %d changes", w.told, row.told)
				}
			})
		})
	}
}

// TestHeavyRoutesDoNotBlameTheirEndpoint: a sample counts by what its route usually takes.
func TestHeavyRoutesDoNotBlameTheirEndpoint(t *testing.T) {
	inWorld(t, 2, func(w *world) {
		t := w.t
		sample := func(e *Endpoint, took, usual time.Duration) {
			w.Report(e, Report{Outcome: OK, Start: Now() - took, Now: Now(), Usual: usual})
		}
		for range 1000 { // the service's mean settles at 10 ms
			sample(w.e(0), 10*time.Millisecond, 10*time.Millisecond)
		}
		sample(w.e(1), 2*time.Second, 2*time.Second)
		if l := w.e(1).Latency(Now()); l < 9*time.Millisecond || l > 60*time.Millisecond {
			t.Errorf("latency %v of an endpoint whose one call took as long as its route does; want about the service's mean", l)
		}
		time.Sleep(time.Minute)
		before := w.Service()
		sample(w.e(1), 4*time.Second, 2*time.Second)
		if l := w.e(1).Latency(Now()); l < before || l > 4*before {
			t.Errorf("latency %v where a call took twice what its route does; want about twice %v", l, before)
		}
	})
}

func TestFailoverIsObeyedInEnforceOnly(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		set := settings()
		for _, apply := range []bool{true, false} {
			set.Apply = apply
			w.Configure(set)
			w.Update(Now(), Tier{Members: members(1), Missing: 99}, Tier{Members: members(3)})
			far := 0
			for range 1000 {
				far += w.Place()
			}
			if n := len(w.View().shares); n != 2 {
				w.t.Errorf("apply %v: %d shares of 2 datacenters", apply, n)
			}
			if apply != (far > 900) || !apply && far != 0 {
				w.t.Errorf("apply %v: %d of 1000 calls left a datacenter of which 1 %% is well", apply, far)
			}
		}
	})
}

func TestOutcomesByName(t *testing.T) {
	for o := range Injected {
		if got, ok := ParseOutcome(o.String()); !ok || got != o {
			t.Errorf("%q is read as %v, %v", o, got, ok)
		}
	}
	for _, name := range []string{"", "OK", "nonsense", Injected.String()} { // nobody may claim an injection
		if got, ok := ParseOutcome(name); ok || got != OK {
			t.Errorf("%q is read as %v", name, got)
		}
	}
}

// TestWatch: each change reaches who watches, several may be one, and nobody is waited for.
func TestWatch(t *testing.T) {
	inWorld(t, 2, func(w *world) {
		t := w.t
		c := make(chan struct{}, 1)
		stop := w.Watch(c)
		told := func() bool {
			select {
			case <-c:
				return true
			default:
				return false
			}
		}
		if told() {
			t.Error("told before anything changed")
		}
		for range 3 {
			w.Update(Now(), Tier{Members: members(3)})
		}
		if !told() || told() {
			t.Error("three changes that nobody fetched must be one")
		}
		w.trip(w.e(0))
		if !told() {
			t.Error("not told of a breaker")
		}
		stop()
		w.Configure(settings())
		if told() {
			t.Error("told after its end")
		}
		if open := w.Open(); !slices.Equal(open, []*Endpoint{w.e(0)}) {
			t.Errorf("Open lists %d endpoints", len(open))
		}
	})
}

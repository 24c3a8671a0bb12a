package sim

import (
	"flag"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/onehop-go/onehop/policy"
)

// The gates of the health model, each with its figure, in virtual time: what a run of `go test` proves. -long adds the
// rows with 200 clients and more rates.
var long = flag.Bool("long", false, "run the long form of the gates")

// rows are the short ones and, with -long, the rest.
func rows[T any](short []T, rest ...T) []T {
	if *long {
		return append(short, rest...)
	}
	return short
}

func percent(x float64) string { return fmt.Sprintf("%.3f %%", 100*x) }

func TestKilled(t *testing.T) {
	for _, row := range rows([][2]int{{6, 20}, {7, 20}, {8, 20}, {8, 200}}, [][2]int{{6, 200}, {7, 200}}...) {
		t.Run(fmt.Sprintf("%d of 10, %d clients", row[0], row[1]), func(t *testing.T) {
			s := Run(t, Killed(row[0], row[1]), Engine(nil)).All()
			t.Log(s)
			if s.Share() < 0.999 {
				t.Errorf("%s of the calls are ok, want 99.9", percent(s.Share()))
			}
		})
	}
}

func TestBlackholed(t *testing.T) {
	for _, n := range []int{6, 7, 8} {
		t.Run(fmt.Sprintf("%d of 10", n), func(t *testing.T) {
			s := Run(t, Blackholed(n, 20), Engine(nil)).All()
			t.Log(s)
			if s.Share() < 0.999 || s.SlowShare() > 0.01 {
				t.Errorf("%s of the calls are ok, %s delayed; want 99.9 and at most 1", percent(s.Share()), percent(s.SlowShare()))
			}
		})
	}
}

func TestAllFailHalf(t *testing.T) {
	type row struct{ status, clients int }
	for _, row := range rows([]row{{500, 1}, {500, 20}, {503, 20}, {500, 200}}, row{503, 1}, row{503, 200}) {
		t.Run(fmt.Sprintf("%d, %d clients", row.status, row.clients), func(t *testing.T) {
			r := Run(t, AllFail(0.5, row.status, row.clients), Engine(nil))
			s := r.All()
			t.Log(s, "avoided", percent(r.Avoided()))
			if s.Share() < 0.49 || r.Avoided() > 0.1 {
				t.Errorf("%s of the calls are ok, %s of the servers avoided; want 50 and at most 10", percent(s.Share()), percent(r.Avoided()))
			}
		})
	}
}

// TestOneFailsFast: with 200 clients each calls a server once in two seconds, so that five failures take longer to learn
// than the second of the others.
func TestOneFailsFast(t *testing.T) {
	type row struct {
		status, clients int
		from            time.Duration
	}
	s := time.Second
	for _, row := range rows([]row{{500, 1, s}, {500, 20, s}, {503, 20, s}, {500, 200, 20 * s}}, row{503, 1, s}, row{503, 200, 20 * s}) {
		t.Run(fmt.Sprintf("%d, %d clients", row.status, row.clients), func(t *testing.T) {
			s := Run(t, OneFailsFast(row.status, row.clients), Engine(nil)).Span(row.from, time.Minute)
			t.Log(s, "load", percent(s.Load(0)))
			if s.Load(0) > 0.02 {
				t.Errorf("%s of the traffic goes to the failing one, want at most 2", percent(s.Load(0)))
			}
		})
	}
}

func TestOneOfTenIsDeadAtOneCallASecond(t *testing.T) {
	s := Run(t, OneDead(), Engine(nil)).All()
	t.Log(s)
	if s.OK != s.Calls {
		t.Errorf("%d of %d calls failed", s.Calls-s.OK, s.Calls)
	}
}

func TestTenOfAHundredFailFastAtTenCallsASecond(t *testing.T) {
	s := Run(t, TenFailFast(503), Engine(nil)).All()
	t.Log(s)
	if s.Share() < 0.99 {
		t.Errorf("%s of the calls are ok, want 99", percent(s.Share()))
	}
}

// TestTotalOutage: the bound is for processes that make some calls; one that makes two a second has its ten retries at
// hand all the same, and 200 of them have 2,000.
func TestTotalOutage(t *testing.T) {
	for _, clients := range []int{1, 20} {
		t.Run(fmt.Sprint(clients, " clients"), func(t *testing.T) {
			r := Run(t, Outage(clients), Engine(nil))
			all, later, back := r.Span(0, time.Minute), r.Span(10*time.Second, time.Minute), r.Recovered(time.Minute, 0.95)
			t.Log(all, "95 % ok", back, "after its end")
			if all.Amplification() > 1.03 || later.Amplification() > 1 {
				t.Errorf("%.4f requests a call, after ten seconds %.4f; want 1.03 and 1.000", all.Amplification(), later.Amplification())
			}
			if back < 0 || back > 10*time.Second {
				t.Errorf("95 %% ok %v after the outage, want at most 10 s", back)
			}
		})
	}
}

func TestOverloadWithTheTriggerRemoved(t *testing.T) {
	for _, sharing := range []bool{false, true} {
		s := Overload(sharing)
		for _, timeout := range []time.Duration{0, time.Second} {
			t.Run(fmt.Sprintf("%s, timeout %v", s.Name, timeout), func(t *testing.T) {
				r := Run(t, s, EngineFor(s, func(p *policy.Policy) { p.Timeout = timeout }))
				back := r.Recovered(10*time.Second, 0.95)
				t.Log(r.Span(0, 10*time.Second), "95 % ok", back, "after its end")
				if back < 0 || back > 10*time.Second {
					t.Errorf("95 %% goodput %v after the trigger is gone, want at most 10 s", back)
				}
			})
		}
		t.Run(s.Name+", without the brake", func(t *testing.T) { // the scenario is one: without a brake it never ends
			r := Run(t, s, EngineFor(s, func(p *policy.Policy) { p.Overload = false }))
			if back := r.Recovered(10*time.Second, 0.95); back >= 0 && back < 40*time.Second {
				t.Errorf("recovered by itself after %v", back)
			}
		})
	}
}

func TestAWrongAttemptTimeoutIsNotMadeWorse(t *testing.T) {
	s := WrongTimeout()
	with := Run(t, s, EngineFor(s, nil)).All()
	without := Run(t, s, EngineFor(s, func(p *policy.Policy) { p.Overload = false })).All()
	t.Log("with the brake", with)
	t.Log("without       ", without)
	if with.Share() < without.Share()-0.005 {
		t.Errorf("%s of the calls are ok with the brake, %s without", percent(with.Share()), percent(without.Share()))
	}
}

func TestFairShares(t *testing.T) {
	type row struct {
		servers, clients int
		rate             float64
	}
	short := []row{{2, 1, 5}, {3, 1, 5}, {10, 1, 5}, {2, 1, 1000}, {3, 20, 50}, {10, 20, 1000}, {10, 1, 1000}}
	var rest []row
	for _, servers := range []int{2, 3, 10} {
		for _, clients := range []int{1, 20, 200} {
			for _, rate := range []float64{5, 20, 100, 1000} {
				rest = append(rest, row{servers, clients, rate})
			}
		}
	}
	for _, row := range rows(short, rest...) {
		t.Run(fmt.Sprintf("%d servers, %d clients, %v rps", row.servers, row.clients, row.rate), func(t *testing.T) {
			const calls = 20_000
			s := Run(t, Steady(row.servers, row.clients, row.rate, time.Duration(calls/row.rate*float64(time.Second))), Engine(nil)).All()
			t.Log(s)
			if s.Spread() > 0.1 {
				t.Errorf("loads %v deviate by %s, want at most 10", s.PerServer, percent(s.Spread()))
			}
		})
	}
}

// TestWeights: shares follow the weights of the catalogue within 1 % of all calls. (Two draws follow the load as well.)
func TestWeights(t *testing.T) {
	type row struct {
		algorithm policy.Algorithm
		clients   int
	}
	weights := []int{1, 2, 3, 4, 10}
	for _, row := range rows([]row{{policy.RoundRobin, 1}, {policy.RoundRobin, 20}, {policy.RingHash, 20}}, row{policy.RingHash, 1}) {
		t.Run(fmt.Sprintf("%s, %d clients", row.algorithm, row.clients), func(t *testing.T) {
			s := Run(t, Weighted(row.clients, weights...), Engine(func(p *policy.Policy) { p.LoadBalancing.Algorithm = row.algorithm })).All()
			t.Log(s.PerServer)
			for i, w := range weights {
				if want := float64(w) / 20; math.Abs(s.Load(i)-want) > 0.01 {
					t.Errorf("a server of weight %d gets %s of the calls, want %s", w, percent(s.Load(i)), percent(want))
				}
			}
		})
	}
}

// TestHeavyCallsDoNotHideASlowServer: a route tells the balancer which calls take long wherever they go.
func TestHeavyCallsDoNotHideASlowServer(t *testing.T) {
	for _, share := range rows([]float64{0.02}, 0.005, 0.1) {
		t.Run(percent(share)+" heavy", func(t *testing.T) {
			s := Run(t, TwoSpeeds(share), Engine(HeavyRoute)).All()
			blind := Run(t, TwoSpeeds(share), Engine(nil)).All()
			t.Log("load of the slow one", percent(s.Load(0)), "without a route", percent(blind.Load(0)))
			if s.Load(0) > 0.026 || s.Load(0) > 0.8*blind.Load(0) {
				t.Errorf("a server three times as slow gets %s of the load, without a route %s; want at most 2.6 and .8 of that",
					percent(s.Load(0)), percent(blind.Load(0)))
			}
		})
	}
}

// TestAtAnySize: from 2 servers to 10,000, from 1 call a second to 10,000, from 1 client to 200, of a tenth of the servers
// that fails hardly a call sees anything, and one that is slow never costs more than with round robin.
func TestAtAnySize(t *testing.T) {
	type row struct {
		servers, clients int
		rate             float64
	}
	short := []row{{2, 1, 1}, {2, 20, 1000}, {10, 200, 1000}, {1000, 20, 1000}}
	for _, row := range rows(short, row{10_000, 1, 1000}, row{10, 20, 10_000}, row{10, 1, 10_000}, row{100, 200, 100}, row{10_000, 20, 10_000}) {
		t.Run(fmt.Sprintf("%d servers, %d clients, %v rps", row.servers, row.clients, row.rate), func(t *testing.T) {
			const calls = 5000
			fails := Run(t, Tenth(row.servers, row.clients, row.rate, true, calls), Engine(nil)).All()
			t.Log("fails", fails)
			if fails.Share() < 0.99 {
				t.Errorf("%s of the calls are ok, want 99", percent(fails.Share()))
			}
			slow := Run(t, Tenth(row.servers, row.clients, row.rate, false, calls), Engine(nil)).All()
			turns := Run(t, Tenth(row.servers, row.clients, row.rate, false, calls), RoundRobin).All()
			t.Log("slow ", slow)
			t.Log("turns", turns)
			if float64(slow.P99) > 1.05*float64(turns.P99) {
				t.Errorf("p99 %v, round robin's %v", slow.P99, turns.P99)
			}
		})
	}
}

func TestOneSlowOfTen(t *testing.T) {
	turns := Run(t, OneSlow(true), Engine(func(p *policy.Policy) { p.LoadBalancing.Algorithm = policy.RoundRobin })).All()
	plain := Run(t, OneSlow(true), Engine(nil)).All()
	hedged := Run(t, OneSlow(true), Engine(func(p *policy.Policy) { p.Hedge = 0.05 })).All()
	healthy := Run(t, OneSlow(false), Engine(nil)).All()
	t.Log("round robin        ", turns)
	t.Log("p2c_ewma           ", plain)
	t.Log("p2c_ewma, hedge 5 %", hedged)
	t.Log("all healthy        ", healthy)
	if float64(plain.P99) > 0.6*float64(turns.P99) {
		t.Errorf("p99 %v, round robin's %v: want at most .6 of it", plain.P99, turns.P99)
	}
	if float64(hedged.P99) > 1.3*float64(healthy.P99) {
		t.Errorf("p99 with hedges %v, %v with all healthy: want at most 1.3 of it", hedged.P99, healthy.P99)
	}
	if hedged.Amplification() > 1.05 {
		t.Errorf("%.3f requests a call with hedges of 5 %%", hedged.Amplification())
	}
}

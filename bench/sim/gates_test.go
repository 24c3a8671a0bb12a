package sim

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/onehop-go/onehop/policy"
)

// The gates of the model, each with its figure. Times are virtual.

func fixed(d time.Duration) func(*rand.Rand) time.Duration {
	return func(*rand.Rand) time.Duration { return d }
}

// failing answers a share of the requests with status at once.
func failing(share float64, status int) func(*rand.Rand) (int, time.Duration, bool) {
	return func(r *rand.Rand) (int, time.Duration, bool) { return status, time.Millisecond, r.Float64() < share }
}

func first(n int, do func(*Server)) func(*World) {
	return func(w *World) {
		for _, s := range w.Servers[:n] {
			do(s)
		}
	}
}

func TestKilled(t *testing.T) {
	for _, clients := range []int{20, 200} {
		for _, n := range []int{6, 7, 8} {
			t.Run(fmt.Sprintf("%d of 10, %d clients", n, clients), func(t *testing.T) {
				r := Run(t, Scenario{
					Servers: 10, Clients: clients, Rate: 1000, Warm: 10 * time.Second, Duration: 60 * time.Second,
					Events: []Event{{0, first(n, (*Server).Kill)}},
				}, Engine(nil))
				s := r.All()
				t.Log(s)
				if s.Share() < 0.999 {
					t.Errorf("%.3f %% of the calls are ok, want 99.9", 100*s.Share())
				}
			})
		}
	}
}

func TestBlackholed(t *testing.T) {
	for _, clients := range []int{20, 200} {
		for _, n := range []int{6, 7, 8} {
			t.Run(fmt.Sprintf("%d of 10, %d clients", n, clients), func(t *testing.T) {
				r := Run(t, Scenario{
					Servers: 10, Clients: clients, Rate: 1000, Duration: 120 * time.Second,
					Setup: first(n, (*Server).Vanish),
				}, Engine(nil))
				s := r.All()
				t.Log(s, "avoided", r.Avoided())
				if s.Share() < 0.999 || float64(s.Slow) > 0.01*float64(s.Calls) {
					t.Errorf("%.3f %% of the calls are ok, %.2f %% delayed; want 99.9 and at most 1", 100*s.Share(), 100*float64(s.Slow)/float64(s.Calls))
				}
			})
		}
	}
}

func TestAllFailHalf(t *testing.T) {
	for _, status := range []int{500, 503} {
		for _, clients := range []int{1, 20, 200} {
			t.Run(fmt.Sprintf("%d, %d clients", status, clients), func(t *testing.T) {
				r := Run(t, Scenario{
					Servers: 10, Clients: clients, Rate: 1000, Duration: 60 * time.Second,
					Setup: first(10, func(s *Server) { s.Fault = failing(0.5, status) }),
				}, Engine(nil))
				s := r.All()
				t.Log(s, "avoided", r.Avoided())
				if s.Share() < 0.49 || r.Avoided() > 0.1 {
					t.Errorf("%.2f %% of the calls are ok, %.2f %% of the servers avoided; want 50 and at most 10", 100*s.Share(), 100*r.Avoided())
				}
			})
		}
	}
}

func TestOneFailsFast(t *testing.T) {
	for _, status := range []int{500, 503} {
		for _, clients := range []int{1, 20, 200} {
			t.Run(fmt.Sprintf("%d, %d clients", status, clients), func(t *testing.T) {
				r := Run(t, Scenario{
					Servers: 10, Clients: clients, Rate: 1000, Warm: 10 * time.Second, Duration: 60 * time.Second,
					Events: []Event{{0, first(1, func(s *Server) { s.Fault = failing(1, status) })}},
				}, Engine(nil))
				s := r.Span(time.Second, 60*time.Second)
				t.Log(s, "load", s.Load(0), "second second", r.Span(time.Second, 2*time.Second).Load(0))
				if s.Load(0) > 0.02 {
					t.Errorf("%.2f %% of the traffic goes to the failing one, want at most 2", 100*s.Load(0))
				}
			})
		}
	}
}

func TestOneOfTenIsDeadAtOneCallASecond(t *testing.T) {
	r := Run(t, Scenario{
		Servers: 10, Clients: 1, Rate: 1, Duration: time.Hour,
		Setup: first(1, func(s *Server) { s.state.Store(refusing) }),
	}, Engine(nil))
	s := r.All()
	t.Log(s)
	if s.OK != s.Calls {
		t.Errorf("%d of %d calls failed", s.Calls-s.OK, s.Calls)
	}
}

func TestTenOfAHundredFailFastAtTenCallsASecond(t *testing.T) {
	for _, status := range []int{503, 500} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			r := Run(t, Scenario{
				Servers: 100, Clients: 1, Rate: 10, Duration: 10 * time.Minute,
				Setup: first(10, func(s *Server) { s.Fault = failing(1, status) }),
			}, Engine(nil))
			s := r.All()
			t.Log(s, "avoided", r.Avoided())
			if status == 503 && s.Share() < 0.99 {
				t.Errorf("%.2f %% of the calls are ok, want 99", 100*s.Share())
			}
		})
	}
}

func TestTotalOutage(t *testing.T) {
	for _, clients := range []int{1, 20} {
		t.Run(fmt.Sprint(clients, " clients"), func(t *testing.T) {
			r := Run(t, Scenario{
				Servers: 10, Clients: clients, Rate: 500, Warm: 20 * time.Second, Duration: 80 * time.Second,
				Events: []Event{
					{0, first(10, func(s *Server) { s.Fault = failing(1, 503) })},
					{60 * time.Second, first(10, func(s *Server) { s.Fault = nil })},
				},
			}, Engine(nil))
			all, later := r.Span(0, 60*time.Second), r.Span(10*time.Second, 60*time.Second)
			t.Log(all)
			t.Log(later, "recovered after", r.Recovered(60*time.Second, 0.99))
			if all.Amplification() > 1.03 || later.Amplification() > 1.0005 {
				t.Errorf("%.4f requests a call, after ten seconds %.4f; want 1.03 and 1.000", all.Amplification(), later.Amplification())
			}
		})
	}
}

func overload(brake bool, attempt, call time.Duration) (Scenario, Maker) {
	return Scenario{
			Servers: 10, Workers: 4, Clients: 20, Rate: 0.9 * 10 * 4 / 0.02, Warm: 20 * time.Second, Duration: 60 * time.Second,
			Setup: first(10, func(s *Server) {
				s.Time = func(r *rand.Rand) time.Duration { return time.Duration(r.ExpFloat64() * 20e6) }
			}),
			Events: []Event{
				{0, first(10, func(s *Server) { s.Slow(0.4) })},
				{10 * time.Second, first(10, func(s *Server) { s.Slow(1) })},
			},
		}, Engine(func(p *policy.Policy) {
			p.AttemptTimeout, p.Timeout, p.Overload = attempt, call, brake
		})
}

func TestOverloadWithTheTriggerRemoved(t *testing.T) {
	for _, row := range []struct {
		brake         bool
		attempt, call time.Duration
	}{{true, 200 * time.Millisecond, 0}, {true, 200 * time.Millisecond, time.Second}, {false, 200 * time.Millisecond, 0}} {
		t.Run(fmt.Sprint(row), func(t *testing.T) {
			s, maker := overload(row.brake, row.attempt, row.call)
			r := Run(t, s, maker)
			for i := range 12 {
				t.Log(i*5, r.Span(time.Duration(i)*5*time.Second, time.Duration(i+1)*5*time.Second))
			}
			after := r.Recovered(10*time.Second, 0.95)
			t.Log("recovered after", after)
			if row.brake && (after < 0 || after > 10*time.Second) {
				t.Errorf("95 %% goodput %v after the trigger is gone, want at most 10 s", after)
			}
		})
	}
}

func TestAWrongAttemptTimeoutIsNotMadeWorse(t *testing.T) {
	share := map[bool]float64{}
	for _, brake := range []bool{true, false} {
		r := Run(t, Scenario{
			Servers: 10, Clients: 20, Rate: 1000, Warm: 5 * time.Second, Duration: 60 * time.Second,
			Setup: first(10, func(s *Server) {
				s.Time = func(r *rand.Rand) time.Duration {
					if r.Float64() < 0.6 {
						return 150 * time.Millisecond
					}
					return 20 * time.Millisecond
				}
			}),
		}, Engine(func(p *policy.Policy) { p.AttemptTimeout, p.Overload = 100*time.Millisecond, brake }))
		s := r.All()
		t.Log("brake", brake, s)
		share[brake] = s.Share()
	}
	if share[true] < share[false]-0.01 {
		t.Errorf("%.2f %% of the calls are ok with the brake, %.2f without", 100*share[true], 100*share[false])
	}
}

func TestFairShares(t *testing.T) {
	for _, clients := range []int{1, 20} {
		for _, servers := range []int{2, 3, 10} {
			for _, rate := range []float64{5, 50, 1000} {
				t.Run(fmt.Sprintf("%d servers, %v rps, %d clients", servers, rate, clients), func(t *testing.T) {
					calls := 20000.0
					r := Run(t, Scenario{
						Servers: servers, Clients: clients, Rate: rate, Duration: time.Duration(calls / rate * float64(time.Second)),
					}, Engine(nil))
					s := r.All()
					t.Log(s)
					if s.Spread() > 0.1 {
						t.Errorf("loads %v deviate by %.1f %%, want at most 10", s.PerServer, 100*s.Spread())
					}
				})
			}
		}
	}
}

func TestOneSlowOfTen(t *testing.T) {
	slow := func(w *World) {
		w.Servers[0].Time = func(r *rand.Rand) time.Duration {
			if r.Float64() < 0.3 {
				return 120 * time.Millisecond
			}
			return 20 * time.Millisecond
		}
	}
	run := func(what string, setup func(*World), change func(*policy.Policy)) Span {
		s := Run(t, Scenario{Servers: 10, Clients: 20, Rate: 1000, Warm: 20 * time.Second, Duration: 60 * time.Second, Setup: setup}, Engine(change)).All()
		t.Log(what, s)
		return s
	}
	turns := run("round robin", slow, func(p *policy.Policy) { p.LoadBalancing.Algorithm = policy.RoundRobin })
	plain := run("p2c_ewma", slow, nil)
	healthy := run("all healthy", func(*World) {}, nil)
	hedged := run("p2c_ewma, hedge 5 %", slow, func(p *policy.Policy) { p.Hedge = 0.05 })
	if float64(plain.P99) > 0.6*float64(turns.P99) {
		t.Errorf("p99 %v, round robin's %v", plain.P99, turns.P99)
	}
	if float64(hedged.P99) > 1.3*float64(healthy.P99) {
		t.Errorf("p99 with hedges %v, %v with all healthy", hedged.P99, healthy.P99)
	}
}

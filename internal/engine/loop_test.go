package engine

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/onehop-go/onehop/internal/health"
	"github.com/onehop-go/onehop/policy"
)

const ms = time.Millisecond

func TestCalls(t *testing.T) {
	post := func(p *script) { p.Method, p.Safe = "POST", false }
	mode := func(m policy.Mode) func(*policy.Policy) { return func(p *policy.Policy) { p.Mode = m } }
	told := func(p *script) { post(p); p.Options = &Options{Idempotent: true} }
	noRetry := func(p *script) { p.Options = &Options{NoRetry: true} }
	most := func(n int) func(*policy.Policy) { return func(p *policy.Policy) { p.Retry.MaxAttempts = n } }
	when := func(c policy.Condition) func(*policy.Policy) {
		return func(p *policy.Policy) { p.Retry.When = []policy.Condition{c} }
	}
	rows := []struct {
		name   string
		policy func(*policy.Policy)
		call   func(*script)
		steps  []step
		reason Reason
		status int
		wire   int
		tries  int
		lo, hi time.Duration // of the time it took
	}{
		{"an answer at once", nil, nil, []step{good}, "", 200, 1, 1, 10 * ms, 10 * ms},
		{"one retry after a backoff", nil, nil, []step{unavailable, good}, "", 200, 2, 2, 32 * ms, 58 * ms},
		{"two, the second after a longer one", nil, nil, []step{reset, unavailable, good}, "", 200, 3, 3, 67 * ms, 143 * ms},
		{"a 503 stays a 503", nil, nil, []step{unavailable}, "", 503, 3, 3, 67 * ms, 143 * ms},
		{"no answer at the last attempt", nil, nil, []step{reset}, Exhausted, 0, 3, 3, 67 * ms, 143 * ms},
		{"one attempt is allowed", most(1), nil, []step{reset, good}, Exhausted, 0, 1, 1, 10 * ms, 10 * ms},
		{"its protocol has repeated it already", nil, nil, []step{reset.with(func(s *step) { s.Spent = true }), good}, Exhausted, 0, 1, 1, 10 * ms, 10 * ms},
		{"five are", most(5), nil, []step{reset}, Exhausted, 0, 5, 5, 200 * ms, 700 * ms},
		{"a 500 is not among the defaults", nil, nil, []step{serverError, good}, "", 500, 1, 1, 10 * ms, 10 * ms},
		{"it is where `when` says so", when("server_error"), nil, []step{serverError, good}, "", 200, 2, 2, 32 * ms, 58 * ms},
		{"a POST may have been executed", nil, post, []step{reset, good}, Unsafe, 0, 1, 1, 10 * ms, 10 * ms},
		{"a POST that came back unread goes again", nil, post, []step{unread, good}, "", 200, 2, 2, 32 * ms, 58 * ms},
		{"from the budget", func(p *policy.Policy) { p.Budget = policy.Budget{} }, post, []step{unread, good}, NoBudget, 0, 1, 1, 10 * ms, 10 * ms},
		{"as often as any", nil, post, []step{unread}, Exhausted, 0, 3, 3, 60 * ms, 170 * ms},
		{"its 503 reaches the caller", nil, post, []step{unavailable, good}, "", 503, 1, 1, 10 * ms, 10 * ms},
		{"code may call it idempotent", nil, told, []step{reset, good}, "", 200, 2, 2, 32 * ms, 58 * ms},
		{"a route may", func(p *policy.Policy) {
			p.Routes = []policy.Route{{Name: "r", Match: policy.Match{Methods: []string{"POST"}}, Idempotent: true, Settings: p.Settings}}
		}, post, []step{reset, good}, "", 200, 2, 2, 32 * ms, 58 * ms},
		{"a route that names no methods does not mean its POSTs", func(p *policy.Policy) {
			p.Routes = []policy.Route{{Name: "r", Match: policy.Match{PathPrefix: "/"}, Idempotent: true, Settings: p.Settings}}
		}, func(p *script) { post(p); p.Path = "/v1" }, []step{reset, good}, Unsafe, 0, 1, 1, 10 * ms, 10 * ms},
		{"a body that cannot be rewound", nil, func(p *script) { p.Replayable = false }, []step{reset, good}, Unsafe, 0, 1, 1, 10 * ms, 10 * ms},
		{"NoRetry", nil, noRetry, []step{reset, good}, ByPolicy, 0, 1, 1, 10 * ms, 10 * ms},
		{"NoRetry moves on unsent all the same", nil, noRetry, []step{refused, good}, "", 200, 1, 2, 10 * ms, 10 * ms},
		{"the server forbids it", nil, nil, []step{unavailable.with(func(s *step) { s.Stop = true }), good}, "", 503, 1, 1, 10 * ms, 10 * ms},
		{"a refused one moves on at once", nil, nil, []step{refused, good}, "", 200, 1, 2, 10 * ms, 10 * ms},
		{"even a POST", nil, post, []step{refused, good}, "", 200, 1, 2, 10 * ms, 10 * ms},
		{"three do", nil, nil, []step{refused, refused, refused, good}, "", 200, 1, 4, 10 * ms, 10 * ms},
		{"nine do", nil, nil, append(slices.Repeat([]step{refused}, 9), good), "", 200, 1, 10, 10 * ms, 10 * ms},
		{"the fourth that timed out is an attempt like others", nil, nil, append(slices.Repeat([]step{unconnected}, 4), good), "", 200, 1, 5, 22 * ms, 48 * ms},
		{"all refuse", nil, nil, []step{refused}, Exhausted, 0, 0, 12, 37 * ms, 113 * ms},
		{"all refuse a POST", nil, post, []step{refused}, Exhausted, 0, 0, 12, 37 * ms, 113 * ms},
		{"moves do not count as attempts", nil, nil, []step{refused, refused, reset, reset, good}, "", 200, 3, 5, 67 * ms, 143 * ms},
		{"no budget", func(p *policy.Policy) { p.Budget = policy.Budget{} }, nil, []step{reset, good}, NoBudget, 0, 1, 1, 10 * ms, 10 * ms},
		{"moves need none", func(p *policy.Policy) { p.Budget = policy.Budget{} }, nil, []step{refused, refused, good}, "", 200, 1, 3, 10 * ms, 10 * ms},
		{"observe sees a retry and makes none", mode(policy.Observe), nil, []step{unavailable, good}, "", 503, 1, 1, 10 * ms, 10 * ms},
		{"observe, no answer", mode(policy.Observe), nil, []step{reset, good}, ByPolicy, 0, 1, 1, 10 * ms, 10 * ms},
		{"bypass", mode(policy.Bypass), nil, []step{reset, good}, ByPolicy, 0, 1, 1, 10 * ms, 10 * ms},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			inService(t, 10, row.policy, func(u *service) {
				t := u.t
				p := get(row.steps...)
				if row.call != nil {
					row.call(p)
				}
				r := u.call(t.Context(), p)
				if r.reason != row.reason || r.status != row.status {
					t.Errorf("reason %q, status %d (%v); want %q, %d", r.reason, r.status, r.err, row.reason, row.status)
				}
				if p.wire() != row.wire || len(p.tries) != row.tries || p.Tries() != row.tries {
					t.Errorf("%d on the wire of %d (%d) tries, want %d of %d", p.wire(), len(p.tries), p.Tries(), row.wire, row.tries)
				}
				if r.took < row.lo || r.took > row.hi {
					t.Errorf("took %v, want %v to %v", r.took, row.lo, row.hi)
				}
				if want := len(p.tries) - 1; row.status != 0 && p.discarded != want || row.status == 0 && p.discarded != want+1 {
					t.Errorf("%d of %d tries were discarded", p.discarded, len(p.tries))
				}
			})
		})
	}
}

func TestEachTryGoesElsewhere(t *testing.T) {
	inService(t, 6, nil, func(u *service) {
		t := u.t
		p := get(refused)
		u.call(t.Context(), p)
		seen := map[*health.Endpoint]bool{}
		for _, a := range p.tries {
			seen[a.Endpoint()] = true
		}
		if len(seen) != 6 {
			t.Errorf("6 tries reached %d endpoints, want 6", len(seen))
		}
	})
}

// TestNoUntriedEndpointIsLeft: then even what was never sent waits and costs budget.
func TestNoUntriedEndpointIsLeft(t *testing.T) {
	inService(t, 2, func(p *policy.Policy) { p.Budget = policy.Budget{} }, func(u *service) {
		t := u.t
		p := get(refused)
		if r := u.call(t.Context(), p); r.reason != NoBudget || len(p.tries) != 2 {
			t.Errorf("reason %q after %d tries, want budget after 2", r.reason, len(p.tries))
		}
	})
}

func TestTheBudgetIsAskedBeforeTheSleep(t *testing.T) {
	inService(t, 10, func(p *policy.Policy) { p.Budget = policy.Budget{Min: 3} }, func(u *service) {
		t := u.t
		for i, want := range []int{3, 2, 1, 1} { // attempts: two retries, then one, then none
			p := get(reset)
			r := u.call(t.Context(), p)
			if len(p.tries) != want {
				t.Fatalf("call %d made %d attempts, want %d", i, len(p.tries), want)
			}
			if i >= 2 && (r.took != 10*ms || r.reason != NoBudget) {
				t.Errorf("call %d: %q after %v, want budget at once", i, r.reason, r.took)
			}
		}
	})
}

func TestDeadlines(t *testing.T) {
	slow := good.with(func(s *step) { s.take = time.Second })
	at := func(d time.Duration) func(*policy.Policy) { return func(p *policy.Policy) { p.Timeout = d } }
	rows := []struct {
		name   string
		policy func(*policy.Policy)
		caller time.Duration // the caller's own deadline; 0: none
		opts   *Options
		usual  time.Duration // what an answer of the route usually takes
		steps  []step
		reason Reason
		tries  int
		took   time.Duration // 0: not compared
	}{
		{"the policy's", at(200 * ms), 0, nil, 0, []step{hangs}, Deadline, 1, 200 * ms},
		{"the caller's", nil, 300 * ms, nil, 0, []step{hangs}, Deadline, 1, 300 * ms},
		{"the earlier of both", at(200 * ms), 100 * ms, nil, 0, []step{hangs}, Deadline, 1, 100 * ms},
		{"the call option replaces the policy's", at(200 * ms), 0, &Options{HasTimeout: true, Timeout: 400 * ms}, 0, []step{hangs}, Deadline, 1, 400 * ms},
		{"and takes it away", at(200 * ms), 0, &Options{HasTimeout: true}, 0, []step{slow}, "", 1, time.Second},
		{"no time for the backoff", at(22 * ms), 0, nil, 0, []step{reset, good}, Deadline, 1, 10 * ms},
		{"no time for an answer", at(500 * ms), 0, nil, 480 * ms, []step{reset, good}, Deadline, 1, 10 * ms},
		{"time enough", at(500 * ms), 0, nil, 300 * ms, []step{reset, good}, "", 2, 0},
		{"the same by the caller's", nil, 500 * ms, nil, 480 * ms, []step{reset, good}, Deadline, 1, 10 * ms},
		{"moving on unsent asks nobody", at(22 * ms), 0, nil, 455 * ms, []step{refused, good}, "", 2, 10 * ms},
		{"it ends a backoff", func(p *policy.Policy) {
			p.Retry.Backoff = policy.Backoff{Initial: time.Second, Max: time.Second, Multiplier: 1}
		}, 1100 * ms, nil, 0, []step{reset.with(func(s *step) { s.take = 50 * ms }), reset.with(func(s *step) { s.take = 50 * ms })}, Deadline, 2, 1100 * ms},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			inService(t, 10, row.policy, func(u *service) {
				t := u.t
				if row.usual > 0 {
					u.plan.Load().rest.usual.Sample(row.usual.Seconds())
				}
				ctx := t.Context()
				if row.caller > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, row.caller)
					defer cancel()
				}
				p := get(row.steps...)
				p.Options = row.opts
				r := u.call(ctx, p)
				if r.reason != row.reason || len(p.tries) != row.tries || row.took != 0 && r.took != row.took {
					t.Errorf("%q after %d tries and %v (%v), want %q after %d and %v", r.reason, len(p.tries), r.took, r.err, row.reason, row.tries, row.took)
				}
				if row.reason == Deadline && len(row.steps) == 1 && !errors.Is(r.err, context.DeadlineExceeded) {
					t.Errorf("%v is no DeadlineExceeded", r.err)
				}
			})
		})
	}
}

func TestAttemptTimeout(t *testing.T) {
	rows := []struct {
		name     string
		timeout  time.Duration
		max      int
		when     []policy.Condition
		noRetry  bool
		timeouts []time.Duration
		reason   Reason
	}{
		{"the last attempt gets all that remains", time.Minute, 3, nil, false, []time.Duration{100 * ms, 100 * ms, 0}, Deadline},
		{"unless nothing else would end it", 0, 3, nil, false, []time.Duration{100 * ms, 100 * ms, 100 * ms}, Exhausted},
		{"the only one is the last", time.Minute, 1, nil, false, []time.Duration{0}, Deadline},
		{"so is one that nothing may follow", time.Minute, 3, nil, true, []time.Duration{0}, Deadline},
		{"or that `when` does not let follow", time.Minute, 3, []policy.Condition{policy.Reset}, false, []time.Duration{0}, Deadline},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			inService(t, 10, func(p *policy.Policy) {
				p.Timeout, p.AttemptTimeout, p.Retry.MaxAttempts = row.timeout, 100*ms, row.max
				if row.when != nil {
					p.Retry.When = row.when
				}
			}, func(u *service) {
				t := u.t
				p := get(hangs)
				p.Options = &Options{NoRetry: row.noRetry}
				r := u.call(t.Context(), p)
				var got []time.Duration
				for _, a := range p.tries {
					got = append(got, a.Timeout)
				}
				if !slices.Equal(got, row.timeouts) || r.reason != row.reason {
					t.Errorf("timeouts %v and %q, want %v and %q", got, r.reason, row.timeouts, row.reason)
				}
				if row.reason == Exhausted && !errors.Is(r.err, ErrAttemptTimeout) {
					t.Errorf("%v is no ErrAttemptTimeout", r.err)
				}
			})
		})
	}
}

func TestTheCallersEnd(t *testing.T) {
	inService(t, 10, nil, func(u *service) {
		t := u.t
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(50*ms, cancel)
		p := get(hangs)
		r := u.call(ctx, p)
		if r.reason != Canceled || r.took != 50*ms || !errors.Is(r.err, context.Canceled) {
			t.Errorf("%q after %v: %v", r.reason, r.took, r.err)
		}
		if s := p.tries[0].Endpoint().Success(health.Now()); s != 1 {
			t.Errorf("the endpoint pays for the caller's cancel: success %v", s)
		}
		if l := p.tries[0].Endpoint().Latency(health.Now()); l < 49*ms {
			t.Errorf("latency %v: it took at least 50 ms", l)
		}
	})
}

func TestOnlyAGenerousDeadlineBlamesTheEndpoint(t *testing.T) {
	for _, row := range []struct {
		usual, deadline time.Duration
		blamed          bool
	}{{10 * ms, 999 * ms, false}, {10 * ms, time.Second, true}, {200 * ms, 1999 * ms, false}, {200 * ms, 2 * time.Second, true}} {
		inService(t, 2, nil, func(u *service) {
			t := u.t
			u.call(t.Context(), get(good.with(func(s *step) { s.take = row.usual })))
			ctx, cancel := context.WithTimeout(t.Context(), row.deadline)
			defer cancel()
			p := get(hangs)
			u.call(ctx, p)
			if blamed := p.tries[0].Endpoint().Success(health.Now()) < 1; blamed != row.blamed {
				t.Errorf("usually %v, given up after %v: blamed = %v", row.usual, row.deadline, blamed)
			}
		})
	}
}

func TestClose(t *testing.T) {
	t.Run("in an attempt", func(t *testing.T) {
		inService(t, 10, nil, func(u *service) {
			t := u.t
			time.AfterFunc(50*ms, u.close)
			if r := u.call(t.Context(), get(hangs)); r.reason != Closed || r.took != 50*ms {
				t.Errorf("%q after %v", r.reason, r.took)
			}
		})
	})
	t.Run("in a backoff", func(t *testing.T) {
		inService(t, 10, func(p *policy.Policy) {
			p.Retry.Backoff = policy.Backoff{Initial: time.Second, Max: time.Second, Multiplier: 1}
		}, func(u *service) {
			t := u.t
			time.AfterFunc(50*ms, u.close)
			if r := u.call(t.Context(), get(reset)); r.reason != Closed || r.took != 50*ms {
				t.Errorf("%q after %v", r.reason, r.took)
			}
		})
	})
	t.Run("in a race", func(t *testing.T) {
		inService(t, 10, func(p *policy.Policy) { p.Hedge = 0.05 }, func(u *service) {
			t := u.t
			warm(t, u)
			time.AfterFunc(50*ms, u.close)
			if r := u.call(t.Context(), get(hangs)); r.reason != Closed || r.took != 50*ms {
				t.Errorf("%q after %v", r.reason, r.took)
			}
		})
	})
	t.Run("before the first snapshot", func(t *testing.T) {
		inEmptyService(t, func(u *service) {
			t := u.t
			time.AfterFunc(50*ms, u.close)
			if r := u.call(t.Context(), get(good)); r.reason != Closed || r.took != 50*ms {
				t.Errorf("%q after %v", r.reason, r.took)
			}
		})
	})
	t.Run("a POST, too", func(t *testing.T) {
		inService(t, 10, nil, func(u *service) {
			t := u.t
			u.close()
			p := get(good)
			p.Method, p.Safe = "POST", false
			if r := u.call(t.Context(), get(hangs)); r.reason != Closed {
				t.Errorf("%q", r.reason)
			}
		})
	})
}

func TestNoEndpoints(t *testing.T) {
	inService(t, 0, nil, func(u *service) {
		t := u.t
		p := get(good)
		r := u.call(t.Context(), p)
		if r.reason != NoEndpoints || r.took != 0 || r.err.Error() != "no_endpoints: none are listed" {
			t.Errorf("%q after %v: %v", r.reason, r.took, r.err)
		}
	})
}

// TestAWaitForAPickIsNoAttempt: gRPC gives back the word when its attempt_timeout passes without a pick.
func TestAWaitForAPickIsNoAttempt(t *testing.T) {
	inService(t, 3, nil, func(u *service) {
		t := u.t
		none := step{Result: Result{NoPick: true}, take: time.Second}
		p := get(none, none, none, none, none, good)
		r := u.call(t.Context(), p)
		if r.reason != "" || p.Tries() != 1 || p.tries[5].Number != 1 {
			t.Errorf("%q after %d tries, the last of number %d; want an answer of try 1", r.reason, p.Tries(), p.tries[5].Number)
		}
	})
}

func TestRetryAfterBindsTheEndpoint(t *testing.T) {
	inService(t, 2, nil, func(u *service) {
		t := u.t
		p := get(unavailable.with(func(s *step) { s.Pause = time.Minute }), good)
		u.call(t.Context(), p)
		paused := p.tries[0].Endpoint()
		for range 50 {
			p := get(good)
			u.call(t.Context(), p)
			if p.tries[0].Endpoint() == paused {
				t.Fatal("picked while it asked to be left alone")
			}
		}
		time.Sleep(time.Minute)
		for range 50 {
			p := get(good)
			if u.call(t.Context(), p); p.tries[0].Endpoint() == paused {
				return
			}
		}
		t.Error("never picked again")
	})
}

// Where nobody else can be asked, the endpoint's word stands in for the backoff; one longer than a backoff may be is the
// caller's to wait for.
func TestTheOnlyEndpointIsAskedWhenItSaid(t *testing.T) {
	for _, row := range []struct {
		name      string
		endpoints int
		pause     time.Duration
		waits     bool
		tries     int
	}{
		{"alone", 1, 900 * time.Millisecond, true, 2},
		{"alone, for long", 1, 2 * time.Second, false, 1},
		{"another is ready", 2, 900 * time.Millisecond, false, 2},
	} {
		t.Run(row.name, func(t *testing.T) {
			inService(t, row.endpoints, nil, func(u *service) {
				t := u.t
				p := get(unavailable.with(func(s *step) { s.Pause = row.pause }), good)
				r := u.call(t.Context(), p)
				if len(p.tries) != row.tries || row.waits != (r.took >= row.pause) || r.took > row.pause+100*time.Millisecond {
					t.Errorf("%d attempts in %v; want %d, waited for the pause: %v", len(p.tries), r.took, row.tries, row.waits)
				}
			})
		})
	}
}

func TestNobodyIsLeftAloneForLongerThanFiveMinutes(t *testing.T) {
	inService(t, 1, func(p *policy.Policy) { p.Retry.MaxAttempts = 1 }, func(u *service) {
		t := u.t
		u.call(t.Context(), get(unavailable.with(func(s *step) { s.Pause = 24 * time.Hour })))
		u.Update("", health.Tier{Members: append(instances(1), instances(2)[1])})
		time.Sleep(longestPause)
		seen := map[*health.Endpoint]bool{}
		for range 100 {
			p := get(good)
			u.call(t.Context(), p)
			seen[p.tries[0].Endpoint()] = true
		}
		if len(seen) != 2 {
			t.Error("an endpoint keeps away longer than it may")
		}
	})
}

func TestRecords(t *testing.T) {
	inService(t, 10, nil, func(u *service) {
		t := u.t
		p := get(refused, unavailable, reset)
		start := health.Now()
		r := u.call(t.Context(), p)
		var f *Failure
		errors.As(r.err, &f)
		if len(f.Attempts) != 4 || f.Target.Service != "s" || !errors.Is(f, errReset) {
			t.Fatalf("%d records of %v: %v", len(f.Attempts), f.Target, f)
		}
		for i, want := range []struct {
			outcome health.Outcome
			latency time.Duration
			err     error
		}{{health.Refused, 0, errRefused}, {health.Overloaded, 10 * ms, nil}, {health.Failed, 10 * ms, errReset}, {health.Failed, 10 * ms, errReset}} {
			a := f.Attempts[i]
			if a.Number != i+1 || a.Outcome != want.outcome || a.Latency != want.latency || a.Duration != want.latency ||
				!errors.Is(a.Err, want.err) || a.Endpoint != p.tries[i].Endpoint() || a.Start < start {
				t.Errorf("record %d: %+v", i, a)
			}
		}
	})
}

// TestWireAttempts plays many calls of random answers: a server never sees more requests of one than max_attempts, and
// nothing that is not safe is sent twice.
func TestWireAttempts(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	answers := []step{good, unavailable, serverError, reset, refused, refused, hangs}
	for range 200 {
		limit := 1 + random.IntN(5)
		hedge := float64(random.IntN(2)) * 0.05
		inService(t, 1+random.IntN(8), func(p *policy.Policy) {
			p.Retry.MaxAttempts, p.Hedge = limit, hedge
			p.AttemptTimeout, p.Timeout = 50*ms, 300*ms
		}, func(u *service) {
			t := u.t
			if hedge > 0 && limit > 1 {
				warm(t, u)
			}
			for range 10 {
				u.fill(100)
				steps := make([]step, 12)
				for i := range steps {
					steps[i] = answers[random.IntN(len(answers))]
				}
				p := get(steps...)
				p.Safe, p.Replayable = random.IntN(3) > 0, random.IntN(4) > 0
				u.call(t.Context(), p)
				if n := p.wire(); n > limit || n > 1 && !(p.Safe && p.Replayable) {
					t.Fatalf("%d on the wire, max_attempts %d, safe %v, replayable %v", n, limit, p.Safe, p.Replayable)
				}
				if len(p.tries) > (1+refusedMoves)*limit {
					t.Fatalf("%d tries, max_attempts %d", len(p.tries), limit)
				}
			}
		})
	}
}

package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onehop-go/onehop/internal/health"
	"github.com/onehop-go/onehop/policy"
)

// inEmptyService runs f with an upstream that knows neither endpoints nor a policy yet.
func inEmptyService(t *testing.T, f func(u *service)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		u := newService(t)
		f(u)
		u.close()
		u.work.Wait()
	})
}

func TestTheFirstSnapshotIsWaitedFor(t *testing.T) {
	errDown := errors.New("connection refused")
	endpoints := func(u *service) { u.Update("", health.Tier{Members: instances(1)}) }
	rows := []struct {
		name   string
		after  time.Duration // of the events below
		event  func(u *service)
		caller time.Duration // deadline; 0: none
		reason Reason
		took   time.Duration
		is     error
	}{
		{"nothing comes", 0, func(*service) {}, 0, Unresolved, FirstWait, errSilent},
		{"discovery fails", 100 * ms, func(u *service) { u.Unresolved(errDown, false) }, 0, Unresolved, FirstWait, errDown},
		{"discovery is denied", 100 * ms, func(u *service) { u.Unresolved(errDown, true) }, 0, Denied, FirstWait, errDown},
		{"both come", 100 * ms, func(u *service) { endpoints(u); u.Configure(policy.Default()) }, 0, "", 110 * ms, nil},
		{"a policy that cannot be read stops nobody", 100 * ms, func(u *service) { endpoints(u); u.Unconfigured() }, 0, "", 110 * ms, nil},
		{"endpoints alone do after the wait", 100 * ms, endpoints, 0, "", FirstWait + 10*ms, nil},
		{"a policy alone does not", 100 * ms, func(u *service) { u.Unconfigured() }, 0, Unresolved, FirstWait, errSilent},
		{"an empty set", 100 * ms, func(u *service) { u.Update("all are critical", health.Tier{Members: nil}); u.Unconfigured() }, 0, NoEndpoints, 100 * ms, nil},
		{"the caller has less time", 0, func(*service) {}, time.Second, Unresolved, time.Second, context.DeadlineExceeded},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			inEmptyService(t, func(u *service) {
				t := u.t
				timer := time.AfterFunc(row.after, func() { row.event(u) })
				defer timer.Stop()
				ctx := t.Context()
				if row.caller > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, row.caller)
					defer cancel()
				}
				r := u.call(ctx, get(good))
				if r.reason != row.reason || r.took != row.took || row.is != nil && !errors.Is(r.err, row.is) {
					t.Errorf("%q after %v: %v; want %q after %v", r.reason, r.took, r.err, row.reason, row.took)
				}
			})
		})
	}
}

func TestTheWaitIsTheUpstreamsNotEachCalls(t *testing.T) {
	inEmptyService(t, func(u *service) {
		t := u.t
		time.Sleep(2 * time.Second)
		if r := u.call(t.Context(), get(good)); r.took != FirstWait-2*time.Second {
			t.Errorf("waited %v, want the rest of the upstream's first 3 s", r.took)
		}
		if r := u.call(t.Context(), get(good)); r.took != 0 || r.reason != Unresolved {
			t.Errorf("a later call waited %v: %q", r.took, r.reason)
		}
	})
}

func TestACancelDuringTheWait(t *testing.T) {
	inEmptyService(t, func(u *service) {
		t := u.t
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(ms, cancel)
		if r := u.call(ctx, get(good)); r.reason != Canceled || !errors.Is(r.err, context.Canceled) {
			t.Errorf("%q: %v", r.reason, r.err)
		}
	})
}

func TestAwaitReadyHasNoEndOfItsOwn(t *testing.T) {
	inEmptyService(t, func(u *service) {
		t := u.t
		time.AfterFunc(time.Hour, func() { u.Update("", health.Tier{Members: instances(1)}); u.Unconfigured() })
		start := time.Now()
		if err := u.AwaitReady(t.Context()); err != nil || time.Since(start) != time.Hour {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		if err := u.Await(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestACallKeepsThePolicyItBeganWith(t *testing.T) {
	inService(t, 10, nil, func(u *service) {
		t := u.t
		p := policy.Default()
		p.Retry.MaxAttempts = 1
		s := get(unavailable.with(func(s *step) { s.do = func() { u.Configure(p) } }), good)
		if r := u.call(t.Context(), s); r.status != 200 {
			t.Errorf("status %d: a reload changed a call under way", r.status)
		}
		if r := u.call(t.Context(), get(unavailable, good)); r.status != 503 {
			t.Errorf("status %d: the next call does not obey the new policy", r.status)
		}
	})
}

func TestModeOverride(t *testing.T) {
	inService(t, 10, nil, func(u *service) {
		t := u.t
		u.env.Mode = func(policy.Mode) policy.Mode { return policy.Bypass }
		u.Configure(policy.Default())
		if r := u.call(t.Context(), get(unavailable, good)); r.status != 503 || u.Policy().Mode != policy.Bypass {
			t.Errorf("status %d in mode %s", r.status, u.Policy().Mode)
		}
	})
}

func TestDecisionsAreTold(t *testing.T) {
	rows := []struct {
		name  string
		mode  policy.Mode
		steps []step
		want  []string
	}{
		{"a retry", policy.Enforce, []step{unavailable, good}, []string{"retry  true"}},
		{"a retry that was not made", policy.Observe, []step{unavailable, good}, []string{"retry  false", "refuse policy false"}},
		{"the end of attempts", policy.Enforce, []step{reset}, []string{"retry  true", "retry  true", "refuse attempts_exhausted true"}},
		{"a move", policy.Enforce, []step{refused, good}, []string{"retry  true"}},
		{"nothing on the good way", policy.Enforce, []step{good}, nil},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			inService(t, 10, func(p *policy.Policy) { p.Mode = row.mode }, func(u *service) {
				t := u.t
				u.call(t.Context(), get(row.steps...))
				if !slices.Equal(u.decided, row.want) {
					t.Errorf("told %q, want %q", u.decided, row.want)
				}
			})
		})
	}
}

func TestHooks(t *testing.T) {
	type key struct{}
	inService(t, 10, nil, func(u *service) {
		t := u.t
		var told []string
		tell := func(s string) { told = append(told, s) }
		u.hooks = &Hooks{
			CallStart: func(ctx context.Context, c *Call) context.Context {
				tell("call " + c.Method)
				return context.WithValue(ctx, key{}, "call")
			},
			AttemptStart: func(ctx context.Context, _ Record) context.Context {
				tell("attempt " + fmt.Sprint(ctx.Value(key{})))
				return context.WithValue(ctx, key{}, "attempt")
			},
			AttemptDone: func(ctx context.Context, r Record) {
				tell(r.Outcome.String() + " " + fmt.Sprint(ctx.Value(key{})) + " " + r.Duration.String())
			},
			CallDone: func(ctx context.Context, c *Call) {
				tell("done " + fmt.Sprint(ctx.Value(key{})) + " " + c.Duration().Truncate(10*ms).String())
			},
		}
		u.call(t.Context(), get(unavailable.with(func(s *step) { s.take = 100 * ms }), good))
		want := []string{"call GET", "attempt call", "overloaded attempt 100ms", "attempt call", "ok attempt 10ms"}
		if len(told) != 6 || !slices.Equal(told[:5], want) {
			t.Errorf("told %q, want %q and the call's end", told, want)
		}
		told = nil
		u.close()
		u.call(t.Context(), get(reset))
		if len(told) == 0 || told[len(told)-1] != "done call 0s" {
			t.Errorf("told %q: no end of the call that failed", told)
		}
	})
}

func TestTheSecondEndCountsOnce(t *testing.T) {
	inService(t, 1, nil, func(u *service) {
		t := u.t
		p := get(good)
		if err := p.Run(t.Context(), u.Upstream, p); err != nil {
			t.Fatal(err)
		}
		a, e := p.Winner().Core(), u.Set().View().All[0]
		if e.InFlight() != 1 {
			t.Errorf("%d in flight while the body is read", e.InFlight())
		}
		a.End(errReset, true)
		a.End(nil, true)
		if e.InFlight() != 0 {
			t.Errorf("%d in flight after the end", e.InFlight())
		}
		if s := e.Success(health.Now()); s != 1-1.0/16 {
			t.Errorf("success %v, want one failure for a body broken off", s)
		}
	})
}

func TestTheBrakeRefuses(t *testing.T) {
	for _, row := range []struct {
		mode   policy.Mode
		reason Reason
	}{{policy.Enforce, Overload}, {policy.Observe, ""}} {
		inService(t, 1, func(p *policy.Policy) { p.Retry.MaxAttempts, p.Mode = 1, row.mode }, func(u *service) {
			t := u.t
			for range 60 { // all overloaded, one at a time: the limit is one
				u.call(t.Context(), get(unavailable))
			}
			if !u.brake.On() {
				t.Fatal("no brake though every answer was 503")
			}
			slow := get(good.with(func(s *step) { s.take = time.Second }))
			u.work.Go(func() {
				if err := slow.Run(t.Context(), u.Upstream, slow); err == nil {
					slow.Winner().Core().End(nil, false)
				}
			})
			synctest.Wait()
			u.decided = nil
			p := get(good)
			r := u.call(t.Context(), p)
			if r.reason != row.reason || row.reason != "" && (r.took != 0 || len(p.tries) != 0) {
				t.Errorf("%s: %q after %v and %d tries", row.mode, r.reason, r.took, len(p.tries))
			}
			if len(u.decided) == 0 {
				t.Errorf("%s: not told", row.mode)
			}
			time.Sleep(2 * time.Second)
			if r := u.call(t.Context(), get(good)); r.reason != "" {
				t.Errorf("%s: refused (%q) though nothing is in flight", row.mode, r.reason)
			}
		})
	}
}

func TestNoBrakeWhereThePolicyHasNone(t *testing.T) {
	inService(t, 1, func(p *policy.Policy) { p.Retry.MaxAttempts, p.Overload = 1, false }, func(u *service) {
		t := u.t
		for range 40 {
			u.call(t.Context(), get(unavailable))
		}
		if u.brake.On() {
			t.Error("brake on")
		}
	})
}

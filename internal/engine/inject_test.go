package engine

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/onehop-go/onehop/internal/health"
	"github.com/onehop-go/onehop/policy"
)

func TestInjection(t *testing.T) {
	retry, delayed, aborted := "retry  true", "inject_delay  true", "inject_abort  true"
	rows := []struct {
		name   string
		inject Injection
		reason Reason
		tries  int
		lo, hi time.Duration
		told   []string
	}{
		{"nothing", Injection{}, "", 1, 10 * ms, 10 * ms, nil},
		{"a delay without a share", Injection{Delay: time.Second}, "", 1, 10 * ms, 10 * ms, nil},
		{"a share without a delay", Injection{DelayShare: 1}, "", 1, 10 * ms, 10 * ms, nil},
		{"a delay", Injection{Delay: time.Second, DelayShare: 1}, "", 1, 1010 * ms, 1010 * ms, []string{delayed}},
		{
			"an abort is retried like an endpoint that is unavailable", Injection{AbortShare: 1}, Exhausted, 3, 37 * ms, 113 * ms,
			[]string{aborted, retry, aborted, retry, aborted, "refuse attempts_exhausted true"},
		},
		{
			"both", Injection{Delay: time.Second, DelayShare: 1, AbortShare: 1}, Exhausted, 3, 3037 * ms, 3113 * ms,
			[]string{delayed, aborted, retry, delayed, aborted, retry, delayed, aborted, "refuse attempts_exhausted true"},
		},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			inService(t, 3, nil, func(u *service) {
				t := u.t
				u.env.Injection = &row.inject
				p := get(good)
				r := u.call(t.Context(), p)
				if r.reason != row.reason || len(p.tries) != row.tries || r.took < row.lo || r.took > row.hi {
					t.Errorf("%q after %d tries and %v; want %q, %d, %v to %v", r.reason, len(p.tries), r.took, row.reason, row.tries, row.lo, row.hi)
				}
				if !slices.Equal(u.decided, row.told) {
					t.Errorf("told %q, want %q", u.decided, row.told)
				}
				u.wantUncharged(r.err)
			})
		})
	}
}

// wantUncharged says that no endpoint looks the worse for what was injected, and that the attempts are marked.
func (u *service) wantUncharged(err error) {
	u.t.Helper()
	for _, e := range u.Set().View().All {
		if l := e.Latency(health.Now()); l > 10*ms || e.Success(health.Now()) != 1 || !e.Available() {
			u.t.Errorf("%s: latency %v, success %v, available %v", e.Addr(), l, e.Success(health.Now()), e.Available())
		}
	}
	var f *Failure
	if !errors.As(err, &f) {
		return
	}
	for _, a := range f.Attempts {
		if a.Outcome != health.Injected || !errors.Is(a.Err, ErrInjected) {
			u.t.Errorf("attempt %d: %v, %v; want it marked as injected", a.Number, a.Outcome, a.Err)
		}
	}
}

// TestInjectionByShare: about that share of the attempts, and the retries save the calls.
func TestInjectionByShare(t *testing.T) {
	inService(t, 3, func(p *policy.Policy) { p.Budget.Min = 1000 }, func(u *service) {
		t := u.t
		u.env.Injection = &Injection{AbortShare: .2}
		const calls = 2000
		lost, attempts := 0, 0
		for range calls {
			p := get(good)
			if r := u.call(t.Context(), p); r.reason != "" {
				lost++
			}
			attempts += len(p.tries)
		}
		// 1 + .2 + .04 attempts a call, of which .008 are lost; six sigma to either side.
		if attempts < 2340 || attempts > 2620 || lost > 50 {
			t.Errorf("%d attempts for %d calls, %d lost; want about 2480 and 16", attempts, calls, lost)
		}
		u.wantUncharged(nil)
	})
}

// TestInjectedDelayEndsWithItsCall: a caller that gives up does not wait for a game day.
func TestInjectedDelayEndsWithItsCall(t *testing.T) {
	inService(t, 3, nil, func(u *service) {
		t := u.t
		u.env.Injection = &Injection{Delay: time.Hour, DelayShare: 1}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		r := u.call(ctx, get(good))
		if r.reason != Deadline || r.took != time.Second {
			t.Errorf("%q after %v; want the caller's deadline after a second", r.reason, r.took)
		}
	})
}

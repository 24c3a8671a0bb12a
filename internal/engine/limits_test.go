package engine

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onehop-go/onehop/policy"
)

// hold makes n calls that stay in flight, and waits until they are.
func (u *service) hold(n int, change func(*script)) {
	for range n {
		p := get(good.with(func(s *step) { s.take = time.Hour }))
		change(p)
		u.work.Go(func() {
			if err := p.Run(u.t.Context(), u.Upstream, p); err == nil {
				p.Winner().Core().End(nil, false)
			}
		})
	}
	synctest.Wait()
}

// TestFixedConcurrency fills a limit; the next call is refused at once, without an attempt.
func TestFixedConcurrency(t *testing.T) {
	orders := func(p *script) { p.Path = "/orders/1" }
	other := func(p *script) { p.Path = "/else" }
	all := func(n int) func(*policy.Policy) { return func(p *policy.Policy) { p.Limits.Concurrency = n } }
	ofRoute := func(n int) func(*policy.Policy) {
		return func(p *policy.Policy) {
			r := policy.Route{Name: "orders", Match: policy.Match{PathPrefix: "/orders"}, Settings: p.Settings}
			r.Limits.Concurrency = n
			p.Routes = []policy.Route{r}
		}
	}
	observed := func(f func(*policy.Policy)) func(*policy.Policy) {
		return func(p *policy.Policy) { f(p); p.Mode = policy.Observe }
	}
	rows := []struct {
		name   string
		policy func(*policy.Policy)
		held   int
		holds  func(*script)
		call   func(*script)
		want   Reason
		told   []string
	}{
		{"one place is left", all(3), 2, other, other, "", nil},
		{"none is", all(3), 3, other, other, Limit, []string{"refuse limit true"}},
		{"the upstream's holds for its routes", all(3), 3, other, orders, Limit, []string{"refuse limit true"}},
		{"a route's own", ofRoute(2), 2, orders, orders, Limit, []string{"refuse limit true"}},
		{"is nobody else's", ofRoute(2), 2, orders, other, "", nil},
		{"and counts nobody else", ofRoute(2), 5, other, orders, "", nil},
		{"observe tells, and lets in", observed(all(3)), 3, other, other, "", []string{"refuse limit false"}},
		{"no limit", all(0), 50, other, other, "", nil},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			inService(t, 10, row.policy, func(u *service) {
				t := u.t
				u.hold(row.held, row.holds)
				u.decided = nil
				p := get(good)
				row.call(p)
				r := u.call(t.Context(), p)
				if r.reason != row.want || row.want != "" && (r.took != 0 || len(p.tries) != 0 || !errors.Is(r.err, errConcurrency)) {
					t.Errorf("%q (%v) after %v and %d tries; want %q, at once", r.reason, r.err, r.took, len(p.tries), row.want)
				}
				if !slices.Equal(u.decided, row.told) {
					t.Errorf("told %q, want %q", u.decided, row.told)
				}
			})
		})
	}
}

// TestALimitsPlacesComeBack: of calls that ended, that failed, and that another limit refused.
func TestALimitsPlacesComeBack(t *testing.T) {
	inService(t, 10, func(p *policy.Policy) {
		p.Limits.Concurrency = 1
		r := policy.Route{Name: "post", Match: policy.Match{Methods: []string{"POST"}}, Settings: p.Settings}
		r.Limits = policy.Limits{Rate: 1}
		p.Routes = []policy.Route{r}
	}, func(u *service) {
		t := u.t
		post := func(step step) *script { p := get(step); p.Method, p.Safe = "POST", false; return p }
		for i, row := range []struct {
			p    *script
			want Reason
		}{
			{get(good), ""}, {get(reset), Exhausted}, {get(good), ""}, {post(good), ""}, {post(good), Limit}, {get(good), ""},
		} {
			if r := u.call(t.Context(), row.p); r.reason != row.want {
				t.Errorf("call %d: %q (%v), want %q", i, r.reason, r.err, row.want)
			}
		}
		if n, m := u.plan.Load().gate.inflight.Load(), u.plan.Load().routes[0].gate.inflight.Load(); n != 0 || m != 0 {
			t.Errorf("%d and %d places are still taken", n, m)
		}
	})
}

// TestFixedRate lets in a second's worth at once, and then as many a second.
func TestFixedRate(t *testing.T) {
	rows := []struct {
		rate         float64
		burst, later int // of 100 calls at once; of one every 10 ms in the 10 s after
	}{{5, 5, 50}, {.5, 1, 5}, {2.5, 3, 25}, {0, 100, 1000}}
	for _, row := range rows {
		inService(t, 10, func(p *policy.Policy) { p.Limits.Rate = row.rate }, func(u *service) {
			t := u.t
			at := good.with(func(s *step) { s.take = 0 })
			let := func() (n int) {
				p := get(at)
				r := u.call(t.Context(), p)
				switch {
				case r.reason == "":
					return 1
				case r.reason != Limit || !errors.Is(r.err, errRate) || r.took != 0 || len(p.tries) != 0:
					t.Fatalf("%q (%v) after %v and %d tries", r.reason, r.err, r.took, len(p.tries))
				}
				return 0
			}
			burst, later := 0, 0
			for range 100 {
				burst += let()
			}
			for range 1000 {
				time.Sleep(10 * time.Millisecond)
				later += let()
			}
			if burst != row.burst || later < row.later-1 || later > row.later {
				t.Errorf("rate %g: %d at once, then %d in 10 s; want %d and %d", row.rate, burst, later, row.burst, row.later)
			}
		})
	}
}

// TestLimitsReloadWithStateIntact: who is in flight counts under the new limit, and an unchanged rate gives no new burst.
func TestLimitsReloadWithStateIntact(t *testing.T) {
	inService(t, 10, func(p *policy.Policy) { p.Limits = policy.Limits{Concurrency: 10, Rate: 4} }, func(u *service) {
		t := u.t
		u.hold(3, func(*script) {})
		p := policy.Default()
		p.Limits = policy.Limits{Concurrency: 3, Rate: 4}
		u.Configure(p)
		if r := u.call(t.Context(), get(good)); !errors.Is(r.err, errConcurrency) {
			t.Errorf("%v; want the three in flight to count", r.err)
		}
		p.Limits.Concurrency = 10
		u.Configure(p)
		if r := u.call(t.Context(), get(good)); r.reason != "" {
			t.Errorf("the fourth of a rate of 4: %v", r.err)
		}
		if r := u.call(t.Context(), get(good)); !errors.Is(r.err, errRate) {
			t.Errorf("the fifth: %v; want the rate's no", r.err)
		}
		p.Limits = policy.Limits{}
		u.Configure(p)
		if r := u.call(t.Context(), get(good)); r.reason != "" {
			t.Errorf("without limits: %v", r.err)
		}
	})
}

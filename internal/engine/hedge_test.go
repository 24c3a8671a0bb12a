package engine

import (
	"testing"
	"time"

	"github.com/onehop-go/onehop/internal/health"
	"github.com/onehop-go/onehop/policy"
)

// warm teaches the route its percentile, 10 ms, and fills the bucket of hedges.
func warm(t *testing.T, u *service) {
	t.Helper()
	for range 2 * hedgeSamples {
		u.call(t.Context(), get(good))
	}
	if u.plan.Load().rest.delay.Load() == 0 || u.hedges.tokens.Load() < milli {
		t.Fatal("no hedges after 200 calls")
	}
}

func TestHedge(t *testing.T) {
	slow := good.with(func(s *step) { s.take = time.Second })
	rows := []struct {
		name  string
		call  func(*script)
		steps []step
		tries int
		took  time.Duration
	}{
		{"a fast answer needs none", nil, []step{good}, 1, 10 * ms},
		{"a slow one is beaten", nil, []step{slow, good}, 2, 20 * ms},
		{"unless the hedge is slower", nil, []step{slow, slow.with(func(s *step) { s.take = 2 * time.Second })}, 2, time.Second},
		{"a failure fires it at once", nil, []step{reset.with(func(s *step) { s.take = ms }), good}, 2, 11 * ms},
		{"not for a POST", func(p *script) { p.Safe = false }, []step{slow}, 1, time.Second},
		{"not with NoRetry", func(p *script) { p.Options = &Options{NoRetry: true} }, []step{slow}, 1, time.Second},
		{"not for what cannot be sent twice", func(p *script) { p.Replayable = false }, []step{slow}, 1, time.Second},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			inService(t, 10, func(p *policy.Policy) { p.Hedge = 0.05 }, func(u *service) {
				t := u.t
				warm(t, u)
				p := get(row.steps...)
				if row.call != nil {
					row.call(p)
				}
				r := u.call(t.Context(), p)
				if r.reason != "" || len(p.tries) != row.tries || r.took < row.took || r.took > row.took+5*ms {
					t.Errorf("%q after %d tries and %v, want an answer after %d and %v", r.reason, len(p.tries), r.took, row.tries, row.took)
				}
				if row.tries == 2 && p.tries[0].Endpoint() == p.tries[1].Endpoint() {
					t.Error("both went to one endpoint")
				}
			})
		})
	}
}

func TestTheLoserCountsAgainstNobody(t *testing.T) {
	inService(t, 10, func(p *policy.Policy) { p.Hedge = 0.05 }, func(u *service) {
		t := u.t
		warm(t, u)
		p := get(hangs, good)
		u.call(t.Context(), p)
		e := p.tries[0].Endpoint()
		time.Sleep(ms)
		if s := e.Success(health.Now()); s != 1 {
			t.Errorf("success %v", s)
		}
		if l := e.Latency(health.Now()); l < 15*ms {
			t.Errorf("latency %v: it had not answered after 20 ms", l)
		}
	})
}

func TestHedgesAreAShareOfCalls(t *testing.T) {
	inService(t, 10, func(p *policy.Policy) { p.Hedge = 0.05 }, func(u *service) {
		t := u.t
		warm(t, u)
		hedged := 0
		const calls = 2000
		for i := range calls { // every tenth is slow: 10 % would gain, 5 % may
			first := good
			if i%10 == 0 {
				first.take = 100 * ms
			}
			p := get(first, good)
			u.call(t.Context(), p)
			hedged += len(p.tries) - 1
		}
		if share := float64(hedged) / calls; share > 0.056 || share < 0.02 {
			t.Errorf("%.3f of the calls were hedged, want at most .05", share)
		}
	})
}

// A service that fails is called more often than it has callers: that must not earn it hedges.
func TestRetriesEarnNoHedges(t *testing.T) {
	inService(t, 10, func(p *policy.Policy) { p.Hedge = 0.05 }, func(u *service) {
		t := u.t
		u.fill(1000)
		const calls = 10
		for range calls {
			if p := get(unavailable, good); u.call(t.Context(), p).reason != "" || len(p.tries) != 2 {
				t.Fatalf("%d tries", len(p.tries))
			}
		}
		if got := u.hedges.tokens.Load(); got != calls*0.05*milli {
			t.Errorf("%d thousandths of a hedge after %d calls", got, calls)
		}
	})
}

func TestNoHedgeOnAServiceThatFails(t *testing.T) {
	inService(t, 10, func(p *policy.Policy) { p.Hedge, p.Budget = 0.05, policy.Budget{Min: 10} }, func(u *service) {
		t := u.t
		warm(t, u)
		u.budget.tokens.Store(5 * milli)
		p := get(good.with(func(s *step) { s.take = time.Second }))
		u.call(t.Context(), p)
		if len(p.tries) != 1 {
			t.Error("a hedge with half of the retry budget gone")
		}
	})
}

func TestObserveHedgesNobody(t *testing.T) {
	inService(t, 10, func(p *policy.Policy) { p.Hedge, p.Mode = 0.05, policy.Observe }, func(u *service) {
		t := u.t
		warm(t, u)
		u.decided = nil
		p := get(good.with(func(s *step) { s.take = time.Second }))
		u.call(t.Context(), p)
		if len(p.tries) != 1 || len(u.decided) != 1 || u.decided[0] != "hedge  false" {
			t.Errorf("%d tries, told %q", len(p.tries), u.decided)
		}
	})
}

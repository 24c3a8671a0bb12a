package heavy

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/onehop-go/onehop"
	"github.com/onehop-go/onehop/policy"
	"github.com/onehop-go/onehop/resolver"
)

// poisoned is a client of three backends, the first behind a proxy.
type poisoned struct {
	*proxy
	backends []*backend
	all      func(n int) []answer

	mu     sync.Mutex
	opened int // times that the proxy's address was opened
}

func newPoisoned(t *testing.T, p policy.Policy, size int) *poisoned {
	t.Helper()
	x := &poisoned{}
	for i := range 3 {
		x.backends = append(x.backends, newBackend(t, "abc"[i], size))
	}
	x.proxy = before(t, x.backends[0].addr)
	web := newWeb(t,
		onehop.WithResolver(resolver.Static{"pay": {x.addr, x.backends[1].addr, x.backends[2].addr}}),
		onehop.WithPolicies(policy.Static{"pay": p}),
		onehop.WithObserver(onehop.Observer{Decided: func(_ context.Context, d onehop.Decision) {
			x.mu.Lock()
			defer x.mu.Unlock()
			if d.Action == "open" && d.Endpoint.Addr == x.addr {
				x.opened++
			}
		}}))
	x.all = func(n int) []answer { return calls(web, n) }
	return x
}

// share is the part of n calls that went through the proxy, by its backend's ledger.
func (x *poisoned) share(t *testing.T, n int) (float64, []answer) {
	t.Helper()
	from := x.backends[0].calls.Load()
	all := x.all(n)
	return float64(x.backends[0].calls.Load()-from) / float64(n), all
}

// whole judges the bodies: each is one backend's, from its first letter to its last.
func (x *poisoned) whole(t *testing.T, all []answer) {
	t.Helper()
	for _, a := range all {
		ok := a.err != nil
		for _, b := range x.backends {
			ok = ok || a.body == b.body
		}
		if !ok {
			t.Fatalf("a body of %d bytes without an error, begins with %.10q", len(a.body), a.body)
		}
	}
}

func TestRow32Latency(t *testing.T) {
	row(t, 32, "one endpoint answers 500 ms late (toxiproxy latency)", "far below its fair share; F0")
	x := newPoisoned(t, policy.Default(), 100)
	wantNoneFailed(t, x.all(100))
	x.poison("latency", attributes{"latency": 500, "jitter": 50})
	x.all(20) // by which it is known
	share, all := x.share(t, 600)
	wantNoneFailed(t, all)
	figuref(t, "%.1f %% of the calls go there, a third would be fair; p50 %s", 100*share, quantile(all, .5).Round(time.Millisecond))
	if share > .1 {
		t.Errorf("%.1f %% of the calls wait half a second", 100*share)
	}
}

func TestRow63Bandwidth(t *testing.T) {
	row(t, 63, "an endpoint's bodies trickle at 16 KB/s (toxiproxy bandwidth), default policy", "none cut, 1 wire attempt each")
	x := newPoisoned(t, policy.Default(), 32<<10)
	x.poison("bandwidth", attributes{"rate": 16})
	all := x.all(40)
	wantNoneFailed(t, all)
	x.whole(t, all)
	wire := int64(0)
	for _, b := range x.backends {
		wire += b.calls.Load()
	}
	figuref(t, "the slowest body took %s; %d attempts on the wire for %d calls", quantile(all, 1).Round(100*time.Millisecond), wire, len(all))
	if wire != int64(len(all)) {
		t.Errorf("%d attempts on the wire for %d calls", wire, len(all))
	}
	if slowest := quantile(all, 1); slowest < time.Second {
		t.Errorf("the slowest took %s: nothing trickled", slowest)
	}
}

func TestRow31Slicer(t *testing.T) {
	row(t, 31, "an endpoint's answers come in slices (toxiproxy slicer)", "F0, bodies whole")
	p := policy.Default()
	p.LoadBalancing.Algorithm = policy.RoundRobin // a third of the bodies is sliced
	x := newPoisoned(t, p, 2000)
	x.poison("slicer", attributes{"average_size": 50, "size_variation": 20, "delay": 1000})
	share, all := x.share(t, 200)
	wantNoneFailed(t, all)
	x.whole(t, all)
	figuref(t, "%.0f %% of the bodies were sliced", 100*share)
	if share == 0 {
		t.Error("nothing went through the slicer")
	}
}

func TestRow30ResetPeer(t *testing.T) {
	row(t, 30, "an endpoint's connections are reset (toxiproxy reset_peer)", "F0, opened")
	p := policy.Default()
	p.LoadBalancing.Algorithm = policy.RoundRobin // by cost it would hardly be called often enough to be opened
	x := newPoisoned(t, p, 100)
	wantNoneFailed(t, x.all(300)) // which earn the budget
	x.poison("reset_peer", attributes{"timeout": 0})
	x.all(100)
	share, all := x.share(t, 600)
	wantNoneFailed(t, all)
	figuref(t, "opened %d times; then %.1f %% of the calls reached it", x.openings(), 100*share)
	if x.openings() == 0 {
		t.Error("it was never opened")
	}
	if share > .05 {
		t.Errorf("%.1f %% of the calls still went there", 100*share)
	}
}

func (x *poisoned) openings() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.opened
}

func TestRow35Timeout(t *testing.T) {
	row(t, 35, "an endpoint takes everything and answers nothing (toxiproxy timeout), attempt_timeout set", "F0, left; back when it is cured")
	p := policy.Default()
	p.LoadBalancing.Algorithm = policy.RoundRobin // by cost it would be called again only when its slow past is forgotten
	p.AttemptTimeout = 300 * time.Millisecond
	p.CircuitBreaker.OpenFor = time.Second
	x := newPoisoned(t, p, 100)
	wantNoneFailed(t, x.all(300))
	x.poison("timeout", attributes{"timeout": 0})
	x.all(100)
	share, all := x.share(t, 600)
	wantNoneFailed(t, all)
	figuref(t, "then %.1f %% of the calls reached it, p99 %s", 100*share, quantile(all, .99).Round(time.Millisecond))
	if share > .05 {
		t.Errorf("%.1f %% of the calls still went there", 100*share)
	}
	x.cure()
	start := time.Now()
	await(t, "the cured endpoint is called again", func() bool { share, _ := x.share(t, 50); return share > 0 })
	figuref(t, "called again %s after it was cured", time.Since(start).Round(100*time.Millisecond))
}

func TestRow39LimitData(t *testing.T) {
	row(t, 39, "an endpoint's connections end in mid-body (toxiproxy limit_data)", "0 mixed bodies, each break told to the reader")
	x := newPoisoned(t, policy.Default(), 8<<10)
	x.poison("limit_data", attributes{"bytes": 4 << 10})
	all := x.all(200)
	x.whole(t, all)
	broken := 0
	for _, a := range all {
		if a.err != nil {
			broken++
			if a.body != "" && strings.Trim(a.body, a.body[:1]) != "" {
				t.Errorf("a broken body mixes two servers")
			}
		}
	}
	figuref(t, "%d of %d bodies broke and said so, 0 mixed", broken, len(all))
	if broken == 0 {
		t.Error("no body broke")
	}
}

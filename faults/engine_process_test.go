package faults

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/onehop-go/onehop"
	"github.com/onehop-go/onehop/internal/consultest"
	"github.com/onehop-go/onehop/policy"
)

// The gates of the health model, which bench/sim holds in virtual time, against instances that are processes.

// processes starts n instances that answer as b says.
func processes(t *testing.T, n int, b consultest.Behaviour) (instances []*consultest.Instance, addrs []string) {
	t.Helper()
	for range n {
		i := consultest.StartInstance(t, consultest.Name(t, "gate"))
		i.Behave(t, b)
		instances, addrs = append(instances, i), append(addrs, i.Addr)
	}
	return instances, addrs
}

// One of ten answers 500 at once: no call is lost where 500 is repeated, and it is left within a second.
func TestRow60OneProcessFailsFast(t *testing.T) {
	t.Parallel()
	unslowed(t)
	row(t, 60)
	const rps = 500
	instances, list := processes(t, 10, consultest.Behaviour{Delay: 5 * time.Millisecond})
	bad := instances[0]
	p := policy.Default()
	p.Retry.When = append(slices.Clone(p.Retry.When), policy.ServerError)
	var e eye
	tr := drive(t, webOf(t, static(t, p, list, e.option())), "http://pay/", rps)
	tr.more(2 * rps)
	bad.Behave(t, consultest.Behaviour{Status: http.StatusInternalServerError})
	began := bad.Ledger(t).Requests
	tr.more(rps) // a second's calls
	at, hit := tr.count(), bad.Ledger(t).Requests
	tr.more(8 * rps)
	later := bad.Ledger(t).Requests - hit
	calls := tr.count() - at
	all := tr.stop()
	all.wantNoneFailed(t)
	figuref(t, "processes at %d rps: %d calls there in the first second, then %.2f %%", rps, hit-began, 100*float64(later)/float64(calls))
	if float64(later) > .02*float64(calls) {
		t.Errorf("%d of the %d calls after a second went to the failing instance; want 2 %% at most", later, calls)
	}
	if e.openings()[bad.Addr] == 0 {
		t.Error("it was never opened")
	}
	if len(e.openings()) > 1 {
		t.Errorf("opened: %v; want the failing one only", e.openings())
	}
}

// One of ten takes 100 ms longer for 30 % of its calls; in the short form, whose machine has more to do, 400 ms for all of
// them. Ten more that are well, and are called in the same moments, say what the machine makes of 20 ms.
func TestRow32OneSlowProcess(t *testing.T) {
	if !long() {
		t.Parallel() // else its times are told, and no other row may run beside it
	}
	unslowed(t)
	row(t, 32)
	const usual = 20 * time.Millisecond
	instances, list := processes(t, 10, consultest.Behaviour{Delay: usual})
	_, well := processes(t, 10, consultest.Behaviour{Delay: usual})
	calls, slow := 1500, consultest.Behaviour{Delay: usual + 400*time.Millisecond}
	if long() {
		calls = 4500 // a call in a hundred waits for its hedge or not by a few: so that p99 is no matter of chance
		slow = consultest.Behaviour{Delay: usual + 100*time.Millisecond, Share: .3, Well: usual}
	}
	instances[0].Behave(t, slow)

	roundRobin, hedged := policy.Default(), policy.Default()
	roundRobin.LoadBalancing.Algorithm = policy.RoundRobin
	hedged.Hedge = .05
	var traffics []*traffic
	var eyes [4]eye
	for i, of := range []struct {
		p    policy.Policy
		list []string
	}{{roundRobin, list}, {policy.Default(), list}, {hedged, list}, {hedged, well}} {
		traffics = append(traffics, drive(t, webOf(t, static(t, of.p, of.list, eyes[i].option())), "http://pay/", 100))
	}
	for _, tr := range traffics {
		tr.until("its calls", func(all []outcome) bool { return len(all) >= calls })
	}
	var p99 []time.Duration
	var late []float64 // the share of the calls that lost half of the 100 ms or more
	for _, tr := range traffics {
		all := tr.stop()
		all.wantNoneFailed(t)
		p99 = append(p99, all.quantile(.99))
		late = append(late, all.slowerThan(usual+50*time.Millisecond))
	}
	figuref(t, "processes, p99: round robin %s, p2c_ewma %s (%.2f x), with hedge 5%% %s, all healthy %s (%.2f x)",
		p99[0].Round(time.Millisecond), p99[1].Round(time.Millisecond), ratio(p99[1], p99[0]),
		p99[2].Round(time.Millisecond), p99[3].Round(time.Millisecond), ratio(p99[2], p99[3]))
	figuref(t, "processes, calls 50 ms late: round robin %.1f %%, p2c_ewma %.1f %%, with hedge 5%% %.1f %%, all healthy %.1f %%",
		100*late[0], 100*late[1], 100*late[2], 100*late[3])
	share := func(i int) float64 { return float64(eyes[i].touched(list[0])) / float64(calls) }
	figuref(t, "processes, the slow one's share of the calls: round robin %.1f %%, p2c_ewma %.1f %%", 100*share(0), 100*share(1))
	if share(1) > share(0)/2 {
		t.Errorf("the slow one got %.1f %% of p2c_ewma's calls, and %.1f %% of round robin's; want half at most", 100*share(1), 100*share(0))
	}
	if !long() { // the rest is of times, which neighbours on the machine shift
		return
	}
	if late[0]-late[3] < .01 { // 30 % of a tenth is 3 %
		t.Errorf("%.1f %% of round robin's calls were late, %.1f %% where all are healthy: the slow instance was not slow", 100*late[0], 100*late[3])
	}
	if late[1]-late[3] > .01 {
		t.Errorf("%.1f %% of p2c_ewma's calls were late, %.1f %% where all are healthy; want 1 %% more at most", 100*late[1], 100*late[3])
	}
	if late[2]-late[3] > .005 {
		t.Errorf("%.1f %% of the hedged calls were late, %.1f %% where all are healthy; want 0.5 %% more at most", 100*late[2], 100*late[3])
	}
	if ratio(p99[1], p99[0]) > .6 {
		t.Errorf("p99 without hedging is %.2f x round robin's; want 0.6 at most", ratio(p99[1], p99[0]))
	}
	if ratio(p99[2], p99[3]) > 1.3 {
		t.Errorf("p99 with hedging is %.2f x that of healthy instances; want 1.3 at most", ratio(p99[2], p99[3]))
	}
}

func ratio(a, b time.Duration) float64 { return float64(a) / float64(b) }

// All answer half of their calls with 500: nobody is better than the others, and avoiding one gains nothing. While all are
// unknown a few are opened by chance, and come back: how long they are left out is held to a limit in virtual time
// (TestRow57AllFailHalf), where a minute lasts a second.
func TestRow57AllProcessesFailHalf(t *testing.T) {
	t.Parallel()
	unslowed(t)
	row(t, 57)
	_, list := processes(t, 30, consultest.Behaviour{Status: http.StatusInternalServerError, Share: .5})
	var e eye
	tr := drive(t, webOf(t, static(t, policy.Default(), list, e.option())), "http://pay/", 400)
	begun := time.Now()
	tr.more(4000)
	all := tr.stop()
	served, share := e.served(), e.openShare(begun, len(list))
	figuref(t, "processes: %.1f %% of %d calls ok, %.1f %% of the servers' answers; left out for %.1f %% of the endpoints' time",
		100*all.okShare(), len(all), 100*served, 100*share)
	if all.okShare() < served-.001 {
		t.Errorf("%.1f %% of calls ok; the servers answered %.1f %% of the attempts well", 100*all.okShare(), 100*served)
	}
	for _, o := range all {
		if o.err != nil {
			t.Fatalf("refused: %v", o.err)
		}
	}
}

// served is the share of the attempts that were answered well.
func (e *eye) served() (share float64) {
	e.look(func() {
		ok := 0
		for i := range e.attempts {
			if e.attempts[i].Outcome == onehop.OutcomeOK {
				ok++
			}
		}
		share = float64(ok) / float64(max(1, len(e.attempts)))
	})
	return share
}

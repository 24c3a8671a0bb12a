package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onehop-go/onehop"
	"github.com/onehop-go/onehop/internal/consultest"
	"github.com/onehop-go/onehop/policy"
)

func TestRow28EndpointKilled(t *testing.T) {
	t.Parallel()
	row(t, 28)
	a := agent(t)
	name := consultest.Name(t, "killed")
	instances := consultest.StartService(t, a, name, 3)
	web := webOf(t, consulHop(t, a))
	tr := drive(t, web, "http://"+name+"/", 100)
	tr.more(200)
	before := tr.stop()
	tr = drive(t, web, "http://"+name+"/", 100)
	tr.more(50)
	at := tr.count()
	instances[0].Kill(t)
	tr.more(300)
	after := tr.since(at)
	all := tr.stop()
	all.wantNoneFailed(t)
	figuref(t, "p99 %s healthy, %s in the 3 s after the kill", before.quantile(.99).Round(time.Millisecond), after.quantile(.99).Round(time.Millisecond))
	seen := instances[1].Ledger(t).Requests + instances[2].Ledger(t).Requests
	if most := len(all) + len(before) + 50; seen > most {
		t.Errorf("the survivors saw %d requests for %d calls", seen, len(all)+len(before))
	}
}

// resetter accepts each connection and breaks it at once.
func resetter(t *testing.T) *raw {
	t.Helper()
	return newRaw(t, func(c net.Conn) {
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
	})
}

func TestRow30ResetOnAccept(t *testing.T) {
	t.Parallel()
	row(t, 30)
	servers := newServers(t, 2)
	bad := resetter(t)
	web := webOf(t, static(t, policy.Default(), append(addrs(servers), bad.addr)))
	tr := drive(t, web, "http://pay/", 100)
	tr.more(400)
	early := bad.accepted()
	tr.more(300)
	all := tr.stop()
	all.wantNoneFailed(t)
	late := bad.accepted() - early
	figuref(t, "%d connections broken in the first 400 calls, %d in the next 300", early, late)
	if early == 0 {
		t.Error("the faulty endpoint was never tried")
	}
	if late > 15 {
		t.Errorf("%d of 300 later calls still went there: it was not opened", late)
	}
	if d := doubles(executions(servers)); d != 0 {
		t.Errorf("%d calls were executed twice", d)
	}
}

// In virtual time: a loaded machine would let good answers run into the attempt's timeout as well.
func TestRow31HeadersDrip(t *testing.T) {
	t.Parallel()
	row(t, 31)
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(t)
		list, hosts := fleet(m, 3, 10*time.Millisecond)
		m.set(func() { hosts[2].handler = drip })
		p := policy.Default()
		p.AttemptTimeout = 150 * time.Millisecond
		tr := drive(t, m.web(static(t, p, list)), "http://pay/", 50)
		time.Sleep(10 * time.Second)
		all := tr.stop()
		all.wantNoneFailed(t)
		figuref(t, "%d attempts at the dripping endpoint of %d calls", m.seen(hosts[2]), len(all))
		if m.seen(hosts[2]) == 0 {
			t.Error("the faulty endpoint was never tried")
		}
	})
}

// drip answers with a header that never ends.
func drip(w http.ResponseWriter, _ *http.Request) {
	c, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	defer c.Close() //nolint:errcheck // a test's server
	head := "HTTP/1.1 200 OK\r\nX-Slow: "
	for i := 0; ; i++ {
		if _, err := c.Write([]byte{head[i%len(head)]}); err != nil {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func TestRow41RollingDeploy(t *testing.T) {
	t.Parallel()
	row(t, 41)
	a := agent(t)
	name := consultest.Name(t, "rolling")
	old := newServers(t, 4)
	for _, s := range old {
		slow(s, 20*time.Millisecond)
	}
	ids := registered(t, a, name, old)
	hop := consulHop(t, a)
	web := webOf(t, hop)
	tr := drive(t, web, "http://"+name+"/", 100)
	tr.more(100)
	for i, s := range old {
		fresh := newServer(t)
		slow(fresh, 20*time.Millisecond)
		registered(t, a, name, []*server{fresh})
		await(t, "the fresh instance is called", func() bool { return fresh.seen() > 0 })
		a.Deregister(t, ids[i])
		quiet(t, s)
		shutDown(t, s) // as an orderly server does: what runs is answered
		tr.more(30)
	}
	tr.stop().wantNoneFailed(t)
}

// slow makes s take d for each answer.
func slow(s *server, d time.Duration) {
	s.behave(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(d):
		case <-r.Context().Done():
			return
		}
		s.execute(r)
		_, _ = w.Write([]byte(s.addr))
	})
}

// quiet waits until s has seen no request for a moment: the callers have heard that it leaves.
func quiet(t *testing.T, s *server) {
	t.Helper()
	last, at := s.seen(), time.Now()
	await(t, "nobody calls the leaving instance", func() bool {
		if n := s.seen(); n != last {
			last, at = n, time.Now()
		}
		return time.Since(at) > 200*time.Millisecond
	})
}

func shutDown(t *testing.T, s *server) {
	t.Helper()
	if err := s.http.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}

// Everything refuses: the list is used whole, and the first success re-admits.
func TestRow53EveryEndpointOpen(t *testing.T) {
	t.Parallel()
	row(t, 53)
	servers := newServers(t, 4)
	var e eye
	web := webOf(t, static(t, policy.Default(), addrs(servers), e.option()))
	tr := drive(t, web, "http://pay/", 50)
	tr.more(50)
	for _, s := range servers {
		s.kill()
	}
	await(t, "all are open", func() bool { return len(e.openings()) == len(servers) })
	at := tr.count() + 20
	tr.more(70)
	for _, o := range tr.since(at) { // health refuses nobody: each call is tried
		if failure := (*onehop.Error)(nil); !errors.As(o.err, &failure) || len(failure.Attempts) == 0 || o.took > 10*time.Second {
			t.Fatalf("a call while all are open: %v after %s; want an attempt at somebody", o.err, o.took)
		}
	}
	at = tr.count()
	for _, s := range servers[:2] {
		s.start()
	}
	start := time.Now()
	tr.until("a success", func(all []outcome) bool {
		return len(all) > at && all[len(all)-1].ok()
	})
	figuref(t, "the first success %s after half are back", time.Since(start).Round(time.Millisecond))
	tr.more(100) // every second they are dialled again
	at = tr.count()
	tr.more(150)
	late := tr.since(at)
	tr.stop()
	figuref(t, "then %d of %d calls failed", late.failed(), len(late))
	if late.failed() > 0 {
		t.Errorf("%d of %d calls failed while half of the endpoints answer", late.failed(), len(late))
	}
}

func TestRow56SixOfTenKilled(t *testing.T) {
	t.Parallel()
	unslowed(t)
	row(t, 56)
	var instances []*consultest.Instance
	var list []string
	for range 10 {
		i := consultest.StartInstance(t, consultest.Name(t, "ten"))
		instances, list = append(instances, i), append(list, i.Addr)
	}
	var e eye
	web := webOf(t, static(t, policy.Default(), list, e.option()))
	tr := drive(t, web, "http://pay/", 1000)
	tr.more(2000)
	for _, i := range instances[:6] {
		i.Kill(t)
	}
	tr.more(4000)
	all := tr.stop()
	opened := e.openings()
	figuref(t, "%.3f %% of %d calls ok, %d opened", 100*all.okShare(), len(all), len(opened))
	if all.okShare() < .999 {
		t.Errorf("%.3f %% ok; want 99.9", 100*all.okShare())
	}
	for _, i := range instances[:6] {
		if opened[i.Addr] == 0 {
			t.Errorf("%s is dead and was not opened", i.Addr)
		}
	}
}

// Virtual time, so that how long endpoints are left out is exact. While all are unknown a few are opened by chance, which
// costs nobody anything for as long as it is few at a time.
func TestRow57AllFailHalf(t *testing.T) {
	t.Parallel()
	unslowed(t)
	row(t, 57)
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(t)
		list, hosts := fleet(m, 50, 0)
		for _, x := range hosts {
			m.set(func() {
				x.handler = func(w http.ResponseWriter, r *http.Request) {
					after(time.Duration(rand.ExpFloat64()*float64(5*time.Millisecond)))(w, r)
					if rand.IntN(2) == 0 {
						w.WriteHeader(http.StatusInternalServerError)
					}
				}
			})
		}
		var e eye
		begun := time.Now()
		tr := drive(t, m.web(static(t, policy.Default(), list, e.option())), "http://pay/", 400)
		time.Sleep(time.Minute)
		all := tr.stop()
		share := e.openShare(begun, len(list))
		figuref(t, "%.1f %% ok of %d calls; %d times opened, %.1f %% of the endpoints' time", 100*all.okShare(), len(all), e.decided("open"), 100*share)
		if all.okShare() < .485 { // the servers' 50 %, less four sigma
			t.Errorf("%.1f %% ok; the servers answer 50 %%", 100*all.okShare())
		}
		if share > .2 { // 1 % usually, by chance up to 5 in 40 runs
			t.Errorf("endpoints were left out for %.1f %% of the time; want 20 at most", 100*share)
		}
		for _, o := range all {
			if o.err != nil {
				t.Fatalf("refused: %v", o.err)
			}
		}
	})
}

// One of ten answers 500 at once. Virtual time, so that rates and seconds are exact.
func TestRow60OneFailsFast(t *testing.T) {
	t.Parallel()
	row(t, 60)
	for _, form := range []struct {
		rps     int
		breaker bool
	}{{1, true}, {1, false}, {1000, true}} {
		t.Run(fmt.Sprintf("%d rps, breaker %v", form.rps, form.breaker), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { failsFast(t, form.rps, form.breaker) })
		})
	}
}

func failsFast(t *testing.T, rps int, breaker bool) {
	t.Helper()
	m := newMemory(t)
	var list []string
	for i := range 10 {
		list = append(list, fmt.Sprintf("192.0.2.%d:80", i+1))
		m.serve(list[i], after(20*time.Millisecond))
	}
	bad := m.hosts[list[0]]
	var e eye
	p := policy.Default()
	if !breaker { // what the choice alone does
		p.CircuitBreaker.ConsecutiveFailures, p.CircuitBreaker.FailureRatio = 0, 0
	}
	web := m.web(static(t, p, list, e.option()))
	one := func(ctx context.Context) outcome { return call(ctx, web, http.MethodGet, "http://pay/") }
	warm := driveBy(t, rps, one)
	time.Sleep(max(5*time.Second, 20*time.Second/time.Duration(rps)))
	warm.stop()
	m.set(func() {
		bad.handler = func(w http.ResponseWriter, r *http.Request) {
			after(time.Millisecond)(w, r)
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	first := driveBy(t, rps, one)
	at := m.seen(bad)
	time.Sleep(max(time.Second, 20*time.Second/time.Duration(rps)))
	early := first.count()
	hit := m.seen(bad) - at
	time.Sleep(max(10*time.Second, 300*time.Second/time.Duration(rps)))
	all := first.stop()
	later := m.seen(bad) - at - hit
	share := float64(later) / float64(len(all)-early)
	figuref(t, "%d rps, breaker %v: %d of the first %d calls there, then %.2f %%; %d of %d calls lost",
		rps, breaker, hit, early, 100*share, all.failed(), len(all))
	if share > .05 {
		t.Errorf("%.1f %% of the later calls; want far less than its fair 10 %%", 100*share)
	}
	if rps == 1000 && share > .02 {
		t.Errorf("%.1f %% of the later calls; want it opened", 100*share)
	}
	if rps == 1000 && e.openings()[list[0]] == 0 {
		t.Error("it was never opened")
	}
}

func TestRow77OneOfThreeKilledUnderLoad(t *testing.T) {
	t.Parallel()
	row(t, 77)
	var instances []*consultest.Instance
	var list []string
	for range 3 {
		i := consultest.StartInstance(t, consultest.Name(t, "three"))
		instances, list = append(instances, i), append(list, i.Addr)
	}
	web := webOf(t, static(t, policy.Default(), list))
	var mu sync.Mutex
	var all tally
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 256 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				ctx, cancel := context.WithTimeout(context.Background(), deadline)
				o := call(ctx, web, http.MethodGet, "http://pay/")
				cancel()
				mu.Lock()
				all = append(all, o)
				mu.Unlock()
			}
		})
	}
	calls := func(n int) {
		await(t, "calls", func() bool { mu.Lock(); defer mu.Unlock(); return len(all) >= n })
	}
	calls(5000)
	instances[1].Kill(t)
	mu.Lock()
	at := len(all)
	mu.Unlock()
	calls(at + 3000)
	close(stop)
	wg.Wait()
	all.wantNoneFailed(t)
}

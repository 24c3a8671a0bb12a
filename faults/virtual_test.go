package faults

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onehop-go/onehop"
	"github.com/onehop-go/onehop/policy"
	"github.com/onehop-go/onehop/resolver"
)

// fleet is n hosts of service pay in memory, each answering after d.
func fleet(m *memory, n int, d time.Duration) (addrs []string, hosts []*host) {
	for i := range n {
		a := fmt.Sprintf("192.0.2.%d:80", i+1)
		addrs, hosts = append(addrs, a), append(hosts, m.serve(a, after(d)))
	}
	return addrs, hosts
}

func (m *memory) total(hosts []*host) (n int) {
	for _, x := range hosts {
		n += m.seen(x)
	}
	return n
}

// An hour in which one of three stays dead and listed.
func TestRow67DeadAndListedForAnHour(t *testing.T) {
	t.Parallel()
	row(t, 67)
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(t)
		list, hosts := fleet(m, 3, 10*time.Millisecond)
		clients := 10
		if long() {
			clients = 100
		}
		late := make([]lateTouches, clients)
		var all []*traffic
		for i := range clients {
			late[i].addr = list[0]
			web := m.web(static(t, policy.Default(), list, late[i].option()))
			all = append(all, drive(t, web, "http://pay/", 1))
		}
		time.Sleep(10*time.Second + 500*time.Millisecond) // between two calls: none is under way
		m.kill(hosts[0])
		time.Sleep(50 * time.Minute)
		dials := m.dialled(list[0])
		time.Sleep(10 * time.Minute)
		dials = m.dialled(list[0]) - dials
		before, after := 0, 0
		for i := range late {
			if !late[i].opened() {
				t.Errorf("client %d never opened it", i)
			}
			b, a := late[i].counts()
			before, after = before+b, after+a
		}
		for _, tr := range all {
			if n := tr.stop().failed(); n != 0 {
				t.Errorf("%d calls failed", n)
			}
		}
		figuref(t, "%d clients: %d user calls touched it before it was opened, %d in the hour after; %.1f dials a minute and client in the last 10 min",
			clients, before, after, float64(dials)/float64(clients)/10)
		if before > clients || after > 0 { // a dial of ours confirms the first refusal at once
			t.Errorf("%d user calls touched it before it was opened, want 1 for each client at most; %d after, want none", before, after)
		}
		if dials > clients*15 || dials == 0 {
			t.Errorf("%d dials in 10 minutes of %d clients; want about one a minute each", dials, clients)
		}
	})
}

// lateTouches counts the attempts at an endpoint that failed, before it was opened and of those begun after.
type lateTouches struct {
	addr          string
	mu            sync.Mutex
	since         time.Time // opened
	before, after int
}

func (l *lateTouches) option() onehop.Option {
	return onehop.WithObserver(onehop.Observer{
		Decided: func(_ context.Context, d onehop.Decision) {
			l.mu.Lock()
			defer l.mu.Unlock()
			if d.Action == "open" && d.Endpoint.Addr == l.addr && l.since.IsZero() {
				l.since = time.Now()
			}
		},
		AttemptDone: func(_ context.Context, a onehop.Attempt) {
			if a.Endpoint.Addr != l.addr || a.Outcome == onehop.OutcomeOK {
				return
			}
			l.mu.Lock()
			defer l.mu.Unlock()
			if !l.since.IsZero() && a.Start.After(l.since) {
				l.after++
			} else {
				l.before++
			}
		},
	})
}

func (l *lateTouches) opened() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.since.IsZero()
}

func (l *lateTouches) counts() (before, after int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.before, l.after
}

// One of five hosts answers no dial.
func TestRow29Swallowed(t *testing.T) {
	t.Parallel()
	row(t, 29)
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(t)
		list, hosts := fleet(m, 5, 10*time.Millisecond)
		m.set(func() { hosts[4].gone = true })
		p := policy.Default()
		p.ConnectTimeout = 500 * time.Millisecond
		var e eye
		tr := drive(t, m.web(static(t, p, list, e.option())), "http://pay/", 100)
		time.Sleep(15 * time.Second)
		all := tr.stop()
		all.wantNoneFailed(t)
		touched, longest := 0, time.Duration(0)
		e.look(func() {
			for _, a := range e.attempts {
				if a.Endpoint.Addr == list[4] {
					touched, longest = touched+1, max(longest, a.Latency)
				}
			}
		})
		figuref(t, "%d of %d calls touched, %s at most of a connect_timeout of %s", touched, len(all), longest, p.ConnectTimeout)
		if touched == 0 || float64(touched) > .01*float64(len(all)) {
			t.Errorf("%d of %d calls touched; want at most 1 %%", touched, len(all))
		}
		if longest > p.ConnectTimeout {
			t.Errorf("a call waited %s for a connection", longest)
		}
		if e.openings()[list[4]] == 0 {
			t.Error("it was not opened")
		}
	})
}

// A total outage of 60 s.
func TestRow50TotalOutage(t *testing.T) {
	t.Parallel()
	row(t, 50)
	for _, outage := range []struct {
		rps    int
		name   string
		status int // 0: refuses
	}{
		{100, "502", http.StatusBadGateway}, {100, "503", http.StatusServiceUnavailable}, {500, "502", http.StatusBadGateway},
		{100, "reset", -1},
	} {
		t.Run(fmt.Sprint(outage.name, " at ", outage.rps), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m := newMemory(t)
				list, hosts := fleet(m, 4, 10*time.Millisecond)
				tr := drive(t, m.web(static(t, policy.Default(), list)), "http://pay/", outage.rps)
				time.Sleep(20 * time.Second)
				m.set(func() {
					for _, x := range hosts {
						x.handler = func(w http.ResponseWriter, _ *http.Request) {
							if outage.status < 0 {
								panic(http.ErrAbortHandler)
							}
							w.WriteHeader(outage.status)
						}
					}
				})
				calls, sent := tr.count(), m.total(hosts)
				time.Sleep(10 * time.Second)
				late, lateSent := tr.count(), m.total(hosts)
				time.Sleep(50 * time.Second)
				all, allSent := tr.count(), m.total(hosts)
				tr.stop()
				whole := float64(allSent-sent) / float64(all-calls)
				rest := float64(allSent-lateSent) / float64(all-late)
				figuref(t, "%s at %d rps: wire / calls %.4f, %.4f after the first 10 s", outage.name, outage.rps, whole, rest)
				if whole > 1.03 || rest > 1.0005 {
					t.Errorf("wire / calls %.4f, then %.4f; want 1.03 and 1.000", whole, rest)
				}
			})
		})
	}
}

// One of twenty takes a second.
func TestRow32OneSlowOfTwenty(t *testing.T) {
	t.Parallel()
	row(t, 32)
	p99 := func(t *testing.T, slow bool, hedge float64) (p time.Duration) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			m := newMemory(t)
			list, hosts := fleet(m, 20, 10*time.Millisecond)
			policy := policy.Default()
			policy.Hedge = hedge
			tr := drive(t, m.web(static(t, policy, list)), "http://pay/", 200)
			time.Sleep(10 * time.Second)
			if slow {
				m.set(func() { hosts[0].handler = after(time.Second) })
			}
			time.Sleep(3 * time.Second)
			at := tr.count()
			time.Sleep(30 * time.Second)
			p = tr.since(at).quantile(.99)
			if n := tr.stop().failed(); n != 0 {
				t.Errorf("%d calls failed", n)
			}
		})
		return p
	}
	healthy := p99(t, false, 0)
	for _, hedge := range []float64{0, 0.01} {
		slow := p99(t, true, hedge)
		figuref(t, "p99 %s, all healthy %s, hedge %.0f %%", slow.Round(time.Microsecond), healthy.Round(time.Microsecond), 100*hedge)
		if slow > healthy*3/2 {
			t.Errorf("p99 is %s with one slow endpoint; %s without", slow, healthy)
		}
	}
}

func TestRow42Cancelled(t *testing.T) {
	t.Parallel()
	row(t, 42)
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(t)
		list, hosts := fleet(m, 2, 0)
		p := policy.Default()
		p.Retry.Backoff = policy.Backoff{Initial: 10 * time.Second, Max: 10 * time.Second, Multiplier: 1}
		web := m.web(static(t, p, list))
		m.set(func() {
			for _, x := range hosts {
				x.handler = func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path != "/body" {
						w.WriteHeader(http.StatusBadGateway)
						return
					}
					w.WriteHeader(http.StatusOK)
					_ = http.NewResponseController(w).Flush()
					<-r.Context().Done()
				}
			}
		})
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(300*time.Millisecond, cancel)
		start := time.Now()
		o := call(ctx, web, http.MethodGet, "http://pay/")
		backoff := time.Since(start) - 300*time.Millisecond
		if !errors.Is(o.err, context.Canceled) || backoff > 10*time.Millisecond {
			t.Errorf("in backoff: %v, %s after the cancel", o.err, backoff)
		}
		ctx, cancel = context.WithCancel(t.Context())
		req, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http://pay/body", nil)
		resp, err := web.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(300*time.Millisecond, cancel)
		start = time.Now()
		_, err = io.ReadAll(resp.Body)
		body := time.Since(start) - 300*time.Millisecond
		_ = resp.Body.Close()
		if !errors.Is(err, context.Canceled) || body > 10*time.Millisecond {
			t.Errorf("in the body: %v, %s after the cancel", err, body)
		}
		figuref(t, "returned %s and %s after the cancel", backoff, body)
	})
}

// What lives long lives on under the default policy.
func TestRow63LongLives(t *testing.T) {
	t.Parallel()
	row(t, 63)
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(t)
		list, hosts := fleet(m, 2, 0)
		web := m.web(static(t, policy.Default(), list))
		handle := func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/poll":
				after(90*time.Second)(w, r)
				_, _ = w.Write([]byte("news"))
			case "/events":
				for range 600 {
					time.Sleep(time.Second)
					_, _ = w.Write([]byte("data: x\n\n"))
					_ = http.NewResponseController(w).Flush()
				}
			case "/upload":
				n, err := io.Copy(io.Discard, r.Body)
				_, _ = fmt.Fprint(w, n, " ", err)
			}
		}
		m.set(func() {
			for _, x := range hosts {
				x.handler = handle
			}
		})
		const chunks = 1024 // of 64 KiB, a second each; the rate is what is tried, not the bytes
		for path, want := range map[string]int{"/poll": 4, "/events": 600 * 9, "/upload": len(fmt.Sprint(chunks*64<<10, " ", nil))} {
			sent := m.total(hosts)
			var body io.Reader
			method := http.MethodGet
			if path == "/upload" {
				method, body = http.MethodPost, &paced{left: chunks * 64 << 10}
			}
			req, _ := http.NewRequestWithContext(t.Context(), method, "http://pay"+path, body)
			start := time.Now()
			resp, err := web.Do(req)
			if err != nil {
				t.Fatal(path, err)
			}
			got, err := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if len(got) != want || err != nil {
				t.Errorf("%s: %d bytes, %v; want %d", path, len(got), err, want)
			}
			if n := m.total(hosts) - sent; n != 1 {
				t.Errorf("%s: %d attempts on the wire", path, n)
			}
			figuref(t, "%s lived %s on one attempt", path, time.Since(start).Round(time.Second))
		}
	})
}

// paced is a body of 64 KiB a second.
type paced struct{ left int }

func (p *paced) Read(b []byte) (int, error) {
	if p.left == 0 {
		return 0, io.EOF
	}
	time.Sleep(time.Second)
	n := min(p.left, len(b), 64<<10)
	p.left -= n
	return n, nil
}

func TestRow70BodyStalls(t *testing.T) {
	t.Parallel()
	row(t, 70)
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(t)
		list, hosts := fleet(m, 3, 0)
		p := policy.Default()
		p.IdleTimeout = 2 * time.Second
		var e eye
		web := m.web(static(t, p, list, e.option()))
		m.set(func() {
			hosts[0].handler = func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Length", "100")
				_, _ = w.Write([]byte("half"))
				_ = http.NewResponseController(w).Flush()
				<-r.Context().Done()
			}
		})
		slowest, stalled := time.Duration(0), 0
		for range 200 {
			resp, err := web.Get("http://pay/")
			if err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			_, err = io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if err != nil {
				stalled++
				slowest = max(slowest, time.Since(start))
				if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "idle_timeout") {
					t.Errorf("the reader is told %v", err)
				}
			}
		}
		figuref(t, "%d of 200 bodies stalled, the longest %s of an idle_timeout of 2 s", stalled, slowest)
		if stalled == 0 || slowest > 4*time.Second || slowest < 2*time.Second {
			t.Errorf("%d stalled, for %s at most; want 2 to 4 s", stalled, slowest)
		}
		if stalled > 66 {
			t.Errorf("%d of 200 bodies stalled: the endpoint was not charged", stalled)
		}
	})
}

// Hedges have a budget of their own: without it the running attempts simply go on.
func TestRow76HedgeBudgetEmpty(t *testing.T) {
	t.Parallel()
	row(t, 76)
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(t)
		list, hosts := fleet(m, 4, 10*time.Millisecond)
		p := policy.Default()
		p.Hedge = 0.01
		tr := drive(t, m.web(static(t, p, list)), "http://pay/", 100)
		time.Sleep(10 * time.Second)
		m.set(func() {
			for _, x := range hosts {
				x.handler = after(2 * time.Second) // far beyond the delay of a hedge: every call wants one
			}
		})
		calls, sent := tr.count(), m.total(hosts)
		time.Sleep(10 * time.Second)
		all := tr.stop()
		extra := m.total(hosts) - sent - (len(all) - calls)
		all.wantNoneFailed(t)
		figuref(t, "%d hedges beside %d calls that all wanted one", extra, len(all)-calls)
		if extra > (len(all)-calls)/50+15 {
			t.Errorf("%d hedges for %d calls: more than the budget of 1 %% and its 10", extra, len(all)-calls)
		}
	})
}

// The wall clock is no clock of ours: what claims to be an hour off changes nothing.
func TestRow47WallClockJumps(t *testing.T) {
	t.Parallel()
	row(t, 47)
	synctest.Test(t, func(t *testing.T) {
		m, r := newMemory(t), newScripted()
		list, hosts := fleet(m, 4, 10*time.Millisecond)
		m.set(func() {
			hosts[3].handler = func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)) // of a clock an hour ahead
				w.WriteHeader(http.StatusTooManyRequests)
			}
		})
		var e eye
		web := m.web(newHop(t, onehop.WithResolver(r), onehop.WithPolicies(policy.Static{}), e.option()))
		r.say(list...)
		tr := drive(t, web, "http://pay/", 50)
		for _, jump := range []time.Duration{0, time.Hour, -time.Hour, 24 * time.Hour} {
			time.Sleep(5 * time.Second)
			var endpoints []resolver.Endpoint
			for _, a := range list {
				endpoints = append(endpoints, resolver.Endpoint{Addr: a, ID: a})
			}
			r.words <- word{snapshot: resolver.Snapshot{Endpoints: endpoints, Origin: "script", At: time.Now().Add(jump)}}
		}
		time.Sleep(5 * time.Second)
		all := tr.stop()
		all.wantNoneFailed(t)
		if n := e.decided("drain") + e.decided("open"); n != 0 {
			t.Errorf("%d endpoints were drained or opened", n)
		}
		before := m.seen(hosts[3])
		time.Sleep(6 * time.Minute) // a Retry-After holds for 5 minutes at most, whatever the clock
		tr = drive(t, web, "http://pay/", 50)
		time.Sleep(5 * time.Second)
		tr.stop()
		if m.seen(hosts[3]) == before {
			t.Error("an endpoint whose clock was an hour ahead is avoided for the hour")
		}
	})
}

// Membership that changes 100 times a second. Not parallel: it looks at the heap of the whole process.
func TestRow19Churn(t *testing.T) {
	row(t, 19)
	synctest.Test(t, func(t *testing.T) {
		m, r := newMemory(t), newScripted()
		list, _ := fleet(m, 20, 10*time.Millisecond)
		web := m.web(newHop(t, onehop.WithResolver(r), onehop.WithPolicies(policy.Static{})))
		r.say(list...)
		tr := drive(t, web, "http://pay/", 100)
		time.Sleep(time.Second)
		before := heap()
		for i := range 3000 {
			k := i % 10
			r.say(append(append([]string{}, list[:k]...), list[k+1:]...)...)
			time.Sleep(10 * time.Millisecond)
		}
		grown := float64(heap()-before) / (1 << 20)
		tr.stop().wantNoneFailed(t)
		figuref(t, "3000 changes in 30 s, heap %+.1f MiB", grown)
		if grown > 8 {
			t.Errorf("the heap grew by %.1f MiB", grown)
		}
	})
}

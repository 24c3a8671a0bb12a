package faults

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onehop-go/onehop"
	"github.com/onehop-go/onehop/consul"
	"github.com/onehop-go/onehop/internal/consultest"
	"github.com/onehop-go/onehop/policy"
	"github.com/onehop-go/onehop/resolver"
)

func TestRow1ConsulDownAtStart(t *testing.T) {
	t.Parallel()
	row(t, 1)
	a := consultest.Start(t, consultest.WithOwn())
	servers := newServers(t, 2)
	registered(t, a, "pay", servers)
	dir := t.TempDir()
	before := consulHop(t, a, onehop.WithCacheDir(dir))
	if o := get(t, webOf(t, before), "http://pay/"); !o.ok() {
		t.Fatal(o.err)
	}
	if err := before.Close(); err != nil {
		t.Fatal(err)
	}
	a.Kill(t)

	t.Run("disk", func(t *testing.T) {
		t.Parallel()
		web := webOf(t, consulHop(t, a, onehop.WithCacheDir(dir)))
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		o := call(ctx, web, http.MethodGet, "http://pay/")
		if !o.ok() {
			t.Errorf("a snapshot on disk, and the first call fails: %v", o.err)
		}
		figuref(t, "first answer from the disk's endpoints after %s", o.took.Round(time.Millisecond))
	})
	t.Run("nothing", func(t *testing.T) {
		t.Parallel()
		var e eye
		hop := consulHop(t, a, e.option())
		hop.Upstream("pay")
		await(t, "a dial", func() bool { n, _ := e.troubled(); return n > 0 })
		web := webOf(t, hop)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		o := call(ctx, web, http.MethodGet, "http://pay/")
		if onehop.ReasonOf(o.err) != onehop.ReasonUnresolved || !strings.Contains(o.err.Error(), a.Addr) {
			t.Errorf("got %v; want reason unresolved and Consul's address", o.err)
		}
		if !errors.Is(o.err, context.DeadlineExceeded) {
			t.Errorf("%v is no deadline", o.err)
		}
		figuref(t, "without one the error came after %s of a deadline of 1 s", o.took.Round(time.Millisecond))
	})
	t.Run("seed", func(t *testing.T) {
		t.Parallel()
		web := webOf(t, static(t, policy.Default(), addrs(servers)))
		if o := get(t, web, "http://pay/"); !o.ok() {
			t.Error(o.err)
		}
	})
}

func TestRow2AgentDownInFlight(t *testing.T) {
	t.Parallel()
	row(t, 2)
	a := consultest.Start(t, consultest.WithOwn())
	servers := newServers(t, 3)
	registered(t, a, "pay", servers)
	var e eye
	tr := drive(t, webOf(t, consulHop(t, a, e.option())), "http://pay/", 100)
	tr.more(100)
	a.Kill(t)
	await(t, "a failed read is told", func() bool { n, _ := e.troubled(); return n > 0 })
	tr.more(200)
	tr.stop().wantNoneFailed(t)
	if _, err := e.troubled(); !strings.Contains(err.Error(), a.Addr) {
		t.Errorf("%v does not name Consul's address", err)
	}
}

// hour runs an hour of one call a second in virtual time against pay at two hosts in memory, whose agent is scripted.
// The agent first answers with the two, then by then.
func hour(t *testing.T, then func(http.ResponseWriter, *http.Request, int), judge func(t *testing.T, f *fakeAgent, e *eye, asked int)) {
	t.Helper()
	addrs := []string{"192.0.2.1:80", "192.0.2.2:80"}
	good := list("7", health("pay", addrs))
	f := newFakeAgent(t, good)
	synctest.Test(t, func(t *testing.T) {
		var e eye
		m := newMemory(t)
		for _, a := range addrs {
			m.serve(a, after(10*time.Millisecond))
		}
		hop := newHop(t, onehop.WithConsul(f.agent()), onehop.WithPolicies(policy.Static{}), e.option())
		web := m.web(hop)
		if o := get(t, web, "http://pay/"); !o.ok() {
			t.Fatal(o.err)
		}
		f.script(then)
		time.Sleep(time.Minute)
		asked, begin := f.asked(), time.Now()
		var all tally
		for range 3600 {
			all = append(all, get(t, web, "http://pay/"))
			time.Sleep(time.Second)
		}
		all.wantNoneFailed(t)
		if n := e.decided("drain"); n != 0 {
			t.Errorf("%d endpoints were drained", n)
		}
		asked = f.asked() - asked
		figuref(t, "%d requests to Consul in an hour", asked)
		if float64(asked) > time.Since(begin).Seconds()+2 { // a burst of two
			t.Errorf("%d requests in %s: more than one a second", asked, time.Since(begin))
		}
		judge(t, f, &e, asked)
	})
}

func TestRow2AgentDownForAnHour(t *testing.T) {
	t.Parallel()
	row(t, 2)
	hour(t, broken, func(t *testing.T, _ *fakeAgent, e *eye, _ int) {
		t.Helper()
		if n, _ := e.troubled(); n == 0 {
			t.Error("no failure was told")
		}
	})
}

func TestRow3AgentFlaps(t *testing.T) {
	t.Parallel()
	row(t, 3)
	good := list("7", health("pay", []string{"192.0.2.1:80", "192.0.2.2:80"}))
	flapping := func(w http.ResponseWriter, r *http.Request, n int) {
		if n%2 == 0 || n > 5000 { // who keeps no pace would be answered for ever: the clock stands meanwhile
			broken(w, r, n)
		}
		good(w, r, n)
	}
	hour(t, flapping, func(t *testing.T, _ *fakeAgent, e *eye, _ int) {
		t.Helper()
		if n := e.listed(); n != 2 {
			t.Errorf("%d endpoints", n)
		}
	})
}

func TestRow6IndexIsNone(t *testing.T) {
	t.Parallel()
	row(t, 6)
	for _, index := range []string{"0", "garbage", "", "-1", "99999999999999999999"} {
		t.Run("index "+index, func(t *testing.T) {
			t.Parallel()
			good := list(index, health("pay", []string{"192.0.2.1:80", "192.0.2.2:80"}))
			hour(t, good, func(t *testing.T, _ *fakeAgent, e *eye, asked int) {
				t.Helper()
				if asked > 3600/15 {
					t.Errorf("%d requests in an hour; want at most one in 15 s", asked)
				}
				if n, _ := e.troubled(); n == 0 {
					t.Error("no failure was told")
				}
			})
		})
	}
}

func TestRow10MalformedAnswers(t *testing.T) {
	t.Parallel()
	row(t, 10)
	service := func(service string) string {
		return `[{"Node":{"Node":"n","Address":"192.0.2.9"},"Service":` + service + `,"Checks":[]}]`
	}
	for name, body := range map[string]string{
		"no JSON":           `<html>`,
		"cut":               `[{"Node":{"Node":"n"`,
		"null":              `null`,
		"an object":         `{}`,
		"null entry":        `[null]`,
		"nil service":       service(`null`),
		"nil node":          `[{"Node":null,"Service":{"ID":"x","Service":"pay","Port":1},"Checks":[]}]`,
		"port 0":            service(`{"ID":"x","Service":"pay","Port":0}`),
		"port above":        service(`{"ID":"x","Service":"pay","Port":70000}`),
		"port below":        service(`{"ID":"x","Service":"pay","Port":-1}`),
		"port in words":     service(`{"ID":"x","Service":"pay","Port":"80"}`),
		"no address":        `[{"Node":{"Node":"n","Address":""},"Service":{"ID":"x","Service":"pay","Port":1},"Checks":[]}]`,
		"an odd address":    service(`{"ID":"x","Service":"pay","Address":"evil host/\r\n","Port":1}`),
		"deep":              strings.Repeat("[", 100_000),
		"beside a good one": strings.TrimSuffix(health("pay", []string{"192.0.2.1:80", "192.0.2.2:80"}), "]") + ",null]",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			hour(t, list("9", body), func(t *testing.T, f *fakeAgent, e *eye, _ int) {
				t.Helper()
				if n, _ := e.troubled(); n == 0 {
					t.Error("no failure was told")
				}
				f.script(list("10", health("pay", []string{"192.0.2.1:80", "192.0.2.2:80", "192.0.2.3:80"})))
				time.Sleep(30 * time.Second)
				if n := e.listed(); n != 3 {
					t.Errorf("after a good answer %d endpoints; want 3", n)
				}
			})
		})
	}
}

func TestRow12ConsulRefuses(t *testing.T) {
	t.Parallel()
	row(t, 12)
	for _, code := range []int{http.StatusTooManyRequests, http.StatusServiceUnavailable, http.StatusInternalServerError} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			t.Parallel()
			hour(t, status(code), func(t *testing.T, _ *fakeAgent, _ *eye, asked int) {
				t.Helper()
				if asked > 3600/15 {
					t.Errorf("%d requests in an hour: the rate did not fall", asked)
				}
			})
		})
	}
}

func TestRow4LeaderLost(t *testing.T) {
	t.Parallel()
	row(t, 4)
	cluster := consultest.StartCluster(t)
	leader := consultest.Leader(cluster)
	if leader == nil {
		t.Fatal("no leader")
	}
	var follower *consultest.Agent
	for _, s := range cluster {
		if s != leader {
			follower = s
		}
	}
	servers := newServers(t, 3)
	registered(t, follower, "pay", servers)
	var e eye
	hop := newHop(t, onehop.WithConsul(follower.Agent()), e.option())
	web := webOf(t, hop)
	tr := drive(t, web, "http://pay/", 50)
	e.awaitListed(t, 3)
	tr.more(50)
	leader.Kill(t)
	// A process that starts now still resolves: stale reads need no leader.
	young := webOf(t, consulHop(t, follower, onehop.WithConsul(consul.Agent{Address: follower.Addr, Wait: 59 * time.Second})))
	if o := get(t, young, "http://pay/"); !o.ok() {
		t.Errorf("a start without a leader: %v", o.err)
	}
	tr.more(100)
	await(t, "another leader", func() bool {
		l := consultest.Leader([]*consultest.Agent{follower})
		return l != leader && leads(follower)
	})
	fresh := newServer(t)
	registered(t, follower, "pay", []*server{fresh})
	e.awaitListed(t, 4)
	tr.more(50)
	tr.stop().wantNoneFailed(t)
}

// leads says whether writes work.
func leads(a *consultest.Agent) bool {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	return a.PutKey(ctx, "leads", "yes") == nil
}

func TestRow5IndexGoesBackwards(t *testing.T) {
	t.Parallel()
	row(t, 5)
	a := consultest.Start(t, consultest.WithOwn())
	servers := newServers(t, 2)
	for i, s := range servers {
		catalogue(t, a, "pay", fmt.Sprintf("node-%d", i), s.addr)
	}
	saved := a.Do(t, http.MethodGet, "/v1/snapshot", nil)
	for i := range 30 {
		a.KVPut(t, fmt.Sprintf("filler/%d", i), "x")
	}
	third := newServer(t)
	catalogue(t, a, "pay", "node-2", third.addr)
	var e eye
	// A restore does not wake a streaming query whose index the server has not reached again: it ends with its wait.
	const wait = 3 * time.Second
	hop := newHop(t, onehop.WithConsul(consul.Agent{Address: a.Addr, Wait: wait}), onehop.WithPolicies(policy.Static{}), e.option())
	tr := drive(t, webOf(t, hop), "http://pay/", 50)
	e.awaitListed(t, 3)
	a.Do(t, http.MethodPut, "/v1/snapshot", saved)
	restored := time.Now()
	e.awaitListed(t, 2)
	figuref(t, "restore seen after %s of a wait of %s", time.Since(restored).Round(time.Millisecond), wait)
	for i := range 3 {
		tr.more(150) // 3 s, so that the pace of requests allows the next at once
		catalogue(t, a, "pay", fmt.Sprintf("again-%d", i), newServer(t).addr)
		start := time.Now()
		e.awaitListed(t, 3+i)
		seen := time.Since(start)
		figuref(t, "update %d after the restore seen after %s", i+1, seen.Round(time.Millisecond))
		if seen > wait-wait/8 { // a query that was not woken ends with its wait
			t.Errorf("update %d seen after %s", i+1, seen)
		}
	}
	tr.stop().wantNoneFailed(t)
}

// catalogue registers an instance on a node of its own, which no agent's anti-entropy mends.
func catalogue(t *testing.T, a *consultest.Agent, name, node, addr string) {
	t.Helper()
	a.Do(t, http.MethodPut, "/v1/catalog/register", map[string]any{
		"Node": node, "Address": "127.0.0.1",
		"Service": map[string]any{"ID": name + "-" + node, "Service": name, "Address": "127.0.0.1", "Port": addrPort(addr)},
	})
}

func TestRow7RightsLost(t *testing.T) {
	t.Parallel()
	row(t, 7)
	servers := newServers(t, 2)
	rules := `service_prefix "" { policy = "read" } node_prefix "" { policy = "read" }`
	for name, of := range map[string]struct {
		streaming string // an agent that streams refuses a deleted token only to a query that waits just then
		lose      func(t *testing.T, a *consultest.Agent, accessor, policyID string)
	}{
		"revoked": {"false", func(t *testing.T, a *consultest.Agent, accessor, _ string) {
			t.Helper()
			a.Do(t, http.MethodDelete, "/v1/acl/token/"+accessor, nil)
		}},
		"stripped": {"true", func(t *testing.T, a *consultest.Agent, _, id string) {
			t.Helper()
			a.Do(t, http.MethodPut, "/v1/acl/policy/"+id, map[string]any{"Name": "p-stripped", "Rules": ""})
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := consultest.Start(t, consultest.WithACL(), consultest.WithArgs("-hcl", "use_streaming_backend = "+of.streaming))
			registered(t, a, "pay", servers)
			accessor, secret, policyID := newToken(t, a, "p-"+name, rules)
			var e eye
			hop := newHop(t, onehop.WithConsul(consul.Agent{Address: a.Addr, Token: secret, Wait: 2 * time.Second}), onehop.WithPolicies(policy.Static{}), e.option())
			tr := drive(t, webOf(t, hop), "http://pay/", 50)
			e.awaitListed(t, 2)
			of.lose(t, a, accessor, policyID)
			await(t, "an alarm", func() bool { n, _ := e.troubled(); return n > 0 })
			tr.more(150)
			tr.stop().wantNoneFailed(t)
			if n := e.listed(); n != 2 {
				t.Errorf("%d endpoints are believed; want the 2 from before", n)
			}
			n, err := e.troubled()
			figuref(t, "%d alarms", n)
			if strings.Contains(err.Error(), secret) {
				t.Error("the alarm shows the token")
			}
		})
	}
}

// newToken makes a token with rules.
func newToken(t *testing.T, a *consultest.Agent, name, rules string) (accessor, secret, policyID string) {
	t.Helper()
	policyID = field(t, a.Do(t, http.MethodPut, "/v1/acl/policy", map[string]any{"Name": name, "Rules": rules}), "ID")
	token := a.Do(t, http.MethodPut, "/v1/acl/token", map[string]any{"Policies": []map[string]any{{"Name": name}}})
	return field(t, token, "AccessorID"), field(t, token, "SecretID"), policyID
}

func TestRow11AnswerDripsForEver(t *testing.T) {
	t.Parallel()
	row(t, 11)
	servers := newServers(t, 2)
	good := list("7", health("pay", addrs(servers)))
	f := newFakeAgent(t, good)
	var e eye
	agent := f.agent()
	agent.Wait = time.Second // an answer has its wait and 10 s
	hop := newHop(t, onehop.WithConsul(agent), onehop.WithPolicies(policy.Static{}), e.option())
	web := webOf(t, hop)
	tr := drive(t, web, "http://pay/", 50)
	e.awaitListed(t, 2)
	f.script(func(w http.ResponseWriter, r *http.Request, _ int) {
		w.Header().Set("X-Consul-Index", "8")
		for r.Context().Err() == nil {
			if _, err := w.Write([]byte("[")); err != nil {
				return
			}
			_ = http.NewResponseController(w).Flush()
			time.Sleep(50 * time.Millisecond)
		}
	})
	start := f.asked()
	await(t, "the drip begins", func() bool { return f.asked() > start })
	most := 0
	await(t, "the drip is given up", func() bool {
		most = max(most, f.asked()-start)
		n, _ := e.troubled()
		return n > 0
	})
	goroutines := runtime.NumGoroutine()
	tr.more(50)
	tr.stop().wantNoneFailed(t)
	figuref(t, "%d requests until the drip was given up, %d goroutines in the whole process", most, goroutines)
	if most > 2 {
		t.Errorf("%d requests beside the dripping one", most)
	}
	if _, err := e.troubled(); !strings.Contains(err.Error(), f.addr) {
		t.Errorf("%v does not name Consul's address", err)
	}
}

func TestRow71RestartedWithEqualIndex(t *testing.T) {
	t.Parallel()
	row(t, 71)
	servers := newServers(t, 3)
	body := health("pay", addrs(servers[:2]))
	restart := make(chan struct{})
	f := newFakeAgent(t, nil)
	blocking := func(w http.ResponseWriter, r *http.Request, n int) {
		if r.URL.Query().Get("index") == "7" {
			select {
			case <-restart:
			case <-r.Context().Done():
			}
			broken(w, r, n)
		}
		list("7", body)(w, r, n)
	}
	f.script(blocking)
	var e eye
	hop := newHop(t, onehop.WithConsul(f.agent()), onehop.WithPolicies(policy.Static{}), e.option())
	tr := drive(t, webOf(t, hop), "http://pay/", 50)
	e.awaitListed(t, 2)
	asked := f.asked()
	await(t, "the query blocks", func() bool { return f.asked() >= max(asked, 2) })
	f.script(list("7", health("pay", addrs(servers))))
	start := time.Now()
	close(restart)
	e.awaitListed(t, 3)
	seen := time.Since(start)
	figuref(t, "seen after %s", seen.Round(time.Millisecond))
	if seen > 10*time.Second { // 1 s at most until the first try again, and a loaded machine; a query that blocks takes minutes
		t.Errorf("seen after %s", seen)
	}
	tr.stop().wantNoneFailed(t)
}

func TestRow58BlueGreen(t *testing.T) {
	t.Parallel()
	row(t, 58)
	a := agent(t)
	name := consultest.Name(t, "blue")
	blue, green := newServers(t, 4), newServers(t, 4)
	ids := registered(t, a, name, blue)
	var e eye
	tr := drive(t, webOf(t, consulHop(t, a, e.option())), "http://"+name+"/", 100)
	e.awaitListed(t, 4)
	tr.more(100)
	registered(t, a, name, green)
	for _, id := range ids {
		a.Deregister(t, id)
	}
	await(t, "only the new are listed", func() bool {
		ok := false
		e.look(func() {
			s := e.snapshots[len(e.snapshots)-1].Endpoints
			ok = len(s) == 4
			for _, x := range s {
				ok = ok && contains(addrs(green), x.Addr)
			}
		})
		return ok
	})
	tr.more(10) // what was picked before is sent
	old := wire(blue)
	tr.more(200)
	tr.stop().wantNoneFailed(t)
	late := wire(blue) - old
	figuref(t, "%d attempts at the old after the new list", late)
	if late > 0 {
		t.Errorf("%d attempts at the old after they were gone", late)
	}
}

func TestRow59AgentRestartLosesAll(t *testing.T) {
	t.Parallel()
	row(t, 59)
	a := consultest.Start(t, consultest.WithOwn())
	servers := newServers(t, 3)
	atOnce(t, a, "pay", servers)
	var e eye
	tr := drive(t, webOf(t, consulHop(t, a, e.option())), "http://pay/", 50)
	e.awaitListed(t, 3)
	tr.more(100)
	made := 0
	for _, s := range servers {
		n, _ := s.dialled()
		made += n
	}
	a.Restart(t) // a dev agent comes back empty
	await(t, "the empty list is read", func() bool { return e.listed() == 0 })
	gone := time.Now()
	await(t, "20 s pass", func() bool { return time.Since(gone) > 20*time.Second })
	atOnce(t, a, "pay", servers)
	e.awaitListed(t, 3)
	tr.more(100)
	tr.stop().wantNoneFailed(t)
	again, standing := 0, 0
	for _, s := range servers {
		n, open := s.dialled()
		again, standing = again+n, standing+open
	}
	figuref(t, "%d connections before, %d made in all, %d stand", made, again, standing)
	if standing != again {
		t.Errorf("%d connections were dropped", again-standing)
	}
	if n := e.decided("drain"); n != 0 {
		t.Errorf("%d endpoints were drained", n)
	}
}

// atOnce registers servers in one transaction.
func atOnce(t *testing.T, a *consultest.Agent, name string, servers []*server) {
	t.Helper()
	type m = map[string]any
	var ops []m
	for i, s := range servers {
		node := fmt.Sprintf("%s-%d", name, i)
		ops = append(ops,
			m{"Node": m{"Verb": "set", "Node": m{"Node": node, "Address": "127.0.0.1"}}},
			m{"Service": m{"Verb": "set", "Node": node, "Service": m{
				"ID": name + "-" + node, "Service": name, "Address": "127.0.0.1", "Port": addrPort(s.addr)}}})
	}
	a.Do(t, http.MethodPut, "/v1/txn", ops)
}

func TestRow72ScaledToZeroAndBack(t *testing.T) {
	t.Parallel()
	row(t, 72)
	a := agent(t)
	name := consultest.Name(t, "zero")
	servers := newServers(t, 2)
	ids := registered(t, a, name, servers)
	var e eye
	web := webOf(t, consulHop(t, a, e.option()))
	tr := drive(t, web, "http://"+name+"/", 50)
	e.awaitListed(t, 2)
	tr.more(50)
	for i, s := range servers {
		a.Deregister(t, ids[i])
		s.kill()
	}
	tr.until("no_endpoints", func(all []outcome) bool {
		return onehop.ReasonOf(all[len(all)-1].err) == onehop.ReasonNoEndpoints
	})
	tr.more(150) // later
	var slowest time.Duration
	all := tr.stop()
	for _, o := range all {
		slowest = max(slowest, o.took)
	}
	last := all[len(all)-1]
	if !strings.Contains(last.err.Error(), name) {
		t.Errorf("%v does not name the service", last.err)
	}
	figuref(t, "the slowest call took %s", slowest.Round(time.Millisecond))
	if slowest > 5*time.Second {
		t.Errorf("a call hung for %s", slowest)
	}
	fresh := newServer(t)
	start := time.Now()
	registered(t, a, name, []*server{fresh})
	await(t, "the service is back", func() bool { return get(t, web, "http://"+name+"/").ok() })
	back := time.Since(start)
	figuref(t, "back after %s", back.Round(time.Millisecond))
	if back > 10*time.Second { // milliseconds, and a loaded machine
		t.Errorf("back after %s", back)
	}
}

func TestRow73InstanceReborn(t *testing.T) {
	t.Parallel()
	row(t, 73)
	a := agent(t)
	name := consultest.Name(t, "reborn")
	instances := consultest.StartService(t, a, name, 2)
	var e eye
	web := webOf(t, consulHop(t, a, e.option()))
	tr := drive(t, web, "http://"+name+"/", 100)
	e.awaitListed(t, 2)
	tr.more(100)
	for range 3 {
		snapshots := 0
		e.look(func() { snapshots = len(e.snapshots) })
		id := instances[0].Service(name).ID
		a.Deregister(t, id)
		instances[0].Restart(t)
		a.Register(t, instances[0].Service(name))
		await(t, "the new incarnation is listed", func() bool {
			n := 0
			e.look(func() { n = len(e.snapshots) })
			return n > snapshots && e.listed() == 2
		})
		tr.more(100)
	}
	tr.stop().wantNoneFailed(t)
	if l := instances[0].Ledger(t); l.Requests == 0 {
		t.Log("the newcomer saw no call yet: slow start")
	}
	// A call that may not be repeated meets no stale connection either.
	for range 20 {
		if o := call(t.Context(), web, http.MethodPost, "http://"+name+"/"); !o.ok() {
			t.Errorf("POST: %v", o.err)
		}
	}
}

func TestRow9ListShrinks(t *testing.T) {
	t.Parallel()
	row(t, 9)
	a, name, servers := agent(t), consultest.Name(t, "shrinks"), newServers(t, 10)
	calls, most := 500, 2.0 // 5 if they were not held; in 5 s the noise of the machine decides as much as the balancing
	if long() {
		calls, most = 2800, 1.25
	}
	var deletions []map[string]any
	for i, s := range servers {
		slow(s, 20*time.Millisecond) // that the machine's own noise does not decide who is called
		node := fmt.Sprintf("%s-%d", name, i)
		catalogue(t, a, name, node, s.addr)
		if i >= 2 {
			deletions = append(deletions, map[string]any{"Service": map[string]any{
				"Verb": "delete", "Node": node, "Service": map[string]any{"ID": name + "-" + node, "Service": name},
			}})
		}
	}
	var e eye
	web := webOf(t, consulHop(t, a, e.option()))
	tr := drive(t, web, "http://"+name+"/", 100)
	e.awaitListed(t, 10)
	tr.more(200)
	a.Do(t, http.MethodPut, "/v1/txn", deletions) // all at once
	e.awaitListed(t, 2)
	before, atStays := tr.count(), wire(servers[:2])
	tr.more(calls)
	load := float64(wire(servers[:2])-atStays) / float64(tr.count()-before) / .2
	figuref(t, "the survivors' load is %.2f x over %d calls while the lost answer", load, calls)
	if load > most {
		t.Errorf("the survivors' load is %.2f x", load)
	}
	for _, s := range servers[2:] {
		s.kill()
	}
	tr.more(200)
	tr.stop().wantNoneFailed(t)
	tries := inSequence(&e)
	for addr, n := range tries {
		if n > 1 {
			t.Errorf("%d refused tries at %s, one after the other", n, addr)
		}
	}
	figuref(t, "%d of the 8 were tried once they were dead, each once", len(tries))
}

// inSequence counts, by address, the refused tries of which each began after the one before it was over: those under way
// at the same moment cannot know of each other.
func inSequence(e *eye) map[string]int {
	tries, over := map[string]int{}, map[string]time.Time{}
	e.look(func() {
		for _, x := range e.attempts {
			if x.Outcome == onehop.OutcomeRefused && x.Start.After(over[x.Endpoint.Addr]) {
				tries[x.Endpoint.Addr]++
				over[x.Endpoint.Addr] = x.Start.Add(x.Latency)
			}
		}
	})
	return tries
}

// Of the lost that are held, those that die leave at their first refused connection, long before their 30 seconds are over.
func TestRow9HeldAndDead(t *testing.T) {
	t.Parallel()
	row(t, 9)
	synctest.Test(t, func(t *testing.T) {
		m, r := newMemory(t), newScripted()
		all, hosts := fleet(m, 10, 10*time.Millisecond)
		var e eye
		web := m.web(newHop(t, onehop.WithResolver(r), onehop.WithPolicies(policy.Static{}), e.option()))
		r.say(all...)
		tr := drive(t, web, "http://pay/", 100)
		time.Sleep(5 * time.Second)
		r.say(all[:2]...)
		time.Sleep(5 * time.Second)
		for _, x := range hosts[2:] {
			m.kill(x)
		}
		time.Sleep(5 * time.Second)
		tr.stop().wantNoneFailed(t)
		figuref(t, "held and dead: %d of 8 have left after 5 s", e.decided("drain"))
		if e.decided("drain") != 8 {
			t.Errorf("%d of the 8 dead have left", e.decided("drain"))
		}
	})
}

// The 30 seconds in which the lost are held, in virtual time.
func TestRow9HeldForHalfAMinute(t *testing.T) {
	t.Parallel()
	row(t, 9)
	synctest.Test(t, func(t *testing.T) {
		m, r := newMemory(t), newScripted()
		var all []string
		hosts := map[string]*host{}
		for i := range 10 {
			a := fmt.Sprintf("192.0.2.%d:80", i+1)
			all = append(all, a)
			hosts[a] = m.serve(a, after(10*time.Millisecond))
		}
		var e eye
		web := m.web(newHop(t, onehop.WithResolver(r), onehop.WithPolicies(policy.Static{}), e.option()))
		r.say(all...)
		tr := drive(t, web, "http://pay/", 100)
		time.Sleep(5 * time.Second)
		r.say(all[:2]...)
		at := tr.count()
		stayed := m.seen(hosts[all[0]]) + m.seen(hosts[all[1]])
		time.Sleep(29 * time.Second)
		load := float64(m.seen(hosts[all[0]])+m.seen(hosts[all[1]])-stayed) / float64(tr.count()-at) / .2
		figuref(t, "the survivors' load is %.3f x for 29 s", load)
		if load > 1.25 {
			t.Errorf("the survivors' load is %.2f x", load)
		}
		time.Sleep(2 * time.Second)
		if n := e.decided("drain"); n != 8 {
			t.Errorf("%d drained after 31 s; want the 8", n)
		}
		tr.stop().wantNoneFailed(t)
	})
}

var _ resolver.Resolver = (*scripted)(nil)

func TestRow54LocalDatacenterGone(t *testing.T) {
	t.Parallel()
	row(t, 54)
	dc1, dc2 := consultest.StartWAN(t)
	local, remote := newServers(t, 3), newServers(t, 3)
	registered(t, dc1, "pay", local)
	registered(t, dc2, "pay", remote)
	p := policy.Default()
	p.Failover.Datacenters = []string{"dc2"}
	var e eye
	hop := newHop(t, onehop.WithConsul(dc1.Agent()), onehop.WithPolicies(policy.Static{"pay": p}), e.option())
	web := webOf(t, hop)
	tr := drive(t, web, "http://pay/", 100)
	for _, dc := range []string{"dc1", "dc2"} {
		await(t, "the list of "+dc, func() (ok bool) {
			e.look(func() {
				for _, s := range e.snapshots {
					ok = ok || len(s.Endpoints) == 3 && s.Endpoints[0].Datacenter == dc
				}
			})
			return ok
		})
	}
	tr.more(100)
	if wire(remote) != 0 {
		t.Errorf("%d calls went to the other datacenter while the own is well", wire(remote))
	}
	at := tr.count()
	for _, s := range local {
		s.kill()
	}
	tr.more(100)
	early := tr.since(at).failed()
	at = tr.count()
	tr.more(200)
	tr.since(at).wantNoneFailed(t)
	figuref(t, "%d calls failed in the first second without the own datacenter", early)
	at = tr.count()
	for _, s := range local {
		s.start()
	}
	home := wire(local)
	await(t, "the own datacenter is called again", func() bool { return wire(local) > home })
	away := wire(remote)
	tr.until("most calls are at home", func([]outcome) bool { return wire(local)-home > 2*(wire(remote)-away)+100 })
	back := tr.since(at)
	tr.stop()
	back.wantNoneFailed(t)
}

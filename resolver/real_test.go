package resolver_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/onehop-go/onehop/internal/consultest"
	"github.com/onehop-go/onehop/internal/membership"
	"github.com/onehop-go/onehop/resolver"
)

// watch runs r on a target until the test ends.
type watch struct {
	mu       sync.Mutex
	snapshot resolver.Snapshot
	err      error // the last word, if it was one
	count    int
	set      membership.Set
	all      []resolver.Snapshot
}

func startWatch(t *testing.T, r resolver.Resolver, target resolver.Target) *watch {
	t.Helper()
	w := &watch{}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { r.Watch(ctx, target, w.publish) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	return w
}

func (w *watch) publish(s resolver.Snapshot, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.err = err
	if err == nil {
		w.snapshot = s
		w.count++
		w.all = append(w.all, s)
		w.set.Apply(time.Now(), s)
	}
}

// state is "id:status" of each listed instance, without the node.
func (w *watch) state() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.count == 0 {
		return "nothing"
	}
	var list []string
	for _, e := range w.snapshot.Endpoints {
		list = append(list, e.ID[strings.IndexByte(e.ID, '/')+1:]+":"+string(e.Status))
	}
	slices.Sort(list)
	return strings.Join(list, " ")
}

// endpoint is the i-th of the last snapshot.
func (w *watch) endpoint(i int) resolver.Endpoint {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.snapshot.Endpoints[i]
}

func (w *watch) lastError() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

func (w *watch) until(t *testing.T, want string) {
	t.Helper()
	defer func() {
		if t.Failed() {
			t.Logf("the last word: %s, %v", w.state(), w.lastError())
			w.mu.Lock()
			defer w.mu.Unlock()
			for _, s := range w.all {
				t.Logf("%s: %v", s.At.Format(time.TimeOnly), s.Endpoints)
			}
		}
	}()
	consultest.Until(t, "state "+want, func() bool { return w.state() == want })
}

// service registers an instance on a port; its ID is short and of the test's service.
func service(name, id string, port int) consultest.Service {
	return consultest.Service{ID: name + "." + id, Name: name, Address: "127.0.0.1", Port: port}
}

// states is what until wants: "a:passing b:critical", with the ids of the service.
func states(name, text string) string {
	var list []string
	for s := range strings.FieldsSeq(text) {
		list = append(list, name+"."+s)
	}
	return strings.Join(list, " ")
}

func TestConsulFollowsInstances(t *testing.T) { //nolint:tparallel // its subtests share an agent that ends with it
	agent := consultest.Start(t)
	for _, consistency := range []resolver.Consistency{resolver.Stale, resolver.Consistent, resolver.Cached} {
		t.Run(string(consistency), func(t *testing.T) {
			t.Parallel() // mostly waiting: a watch asks once a second
			name := consultest.Name(t, "pay")
			w := startWatch(t, resolver.Consul{Agent: agent.Agent(), Consistency: consistency}, resolver.Target{Service: name})
			w.until(t, "")
			a := agent.Register(t, service(name, "a", 8001))
			w.until(t, states(name, "a:passing"))
			agent.Register(t, service(name, "b", 8002))
			w.until(t, states(name, "a:passing b:passing"))
			agent.SetStatus(t, a, "warning")
			w.until(t, states(name, "a:warning b:passing"))
			agent.SetStatus(t, a, "critical")
			w.until(t, states(name, "a:critical b:passing"))
			agent.Maintenance(t, a, true)
			w.until(t, states(name, "a:maintenance b:passing"))
			agent.Maintenance(t, a, false)
			agent.SetStatus(t, a, "passing")
			w.until(t, states(name, "a:passing b:passing"))
			agent.Deregister(t, a)
			w.until(t, states(name, "b:passing"))
			agent.Deregister(t, name+".b")
			w.until(t, "")
		})
	}
}

func TestConsulFiltersAndWeighs(t *testing.T) {
	agent := consultest.Start(t)
	name := consultest.Name(t, "pay")
	a, b := service(name, "a", 8001), service(name, "b", 8002)
	a.Tags, a.Weights = []string{"v1"}, consultest.Weights{Passing: 7, Warning: 2}
	a.Meta = map[string]string{"zone": "z1", "onehop-started": "2026-05-04T03:02:01Z"}
	b.Tags = []string{"v2"}
	agent.Register(t, a)
	agent.Register(t, b)
	consul := resolver.Consul{Agent: agent.Agent()}
	both := startWatch(t, consul, resolver.Target{Service: name})
	both.until(t, states(name, "a:passing b:passing"))
	startWatch(t, consul, resolver.Target{Service: name, Tag: "v2"}).until(t, states(name, "b:passing"))
	startWatch(t, consul, resolver.Target{Service: name, Datacenter: agent.Datacenter}).until(t, states(name, "a:passing b:passing"))
	startWatch(t, consul, resolver.Target{Service: name, Filter: "Service.Port == 8001"}).until(t, states(name, "a:passing"))
	startWatch(t, consul, resolver.Target{Service: strings.ToUpper(name)}).until(t, states(name, "a:passing b:passing"))

	e := both.endpoint(0)
	if e.Addr != "127.0.0.1:8001" || e.Weight != 7 || e.Zone != "z1" || e.Datacenter != agent.Datacenter || e.Node == "" ||
		!e.Started.Equal(time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)) || !slices.Equal(e.Tags, []string{"v1"}) {
		t.Errorf("%+v", e)
	}
	if second := both.endpoint(1); second.Started.IsZero() || second.Weight != 1 {
		t.Errorf("%+v", second)
	}
	agent.SetStatus(t, a.ID, "warning")
	both.until(t, states(name, "a:warning b:passing"))
	if e := both.endpoint(0); e.Weight != 2 {
		t.Errorf("weight %d while warning, want 2", e.Weight)
	}
	wrong := startWatch(t, consul, resolver.Target{Service: name, Filter: "No Such == 1"})
	consultest.Until(t, "an error about the filter", func() bool { return wrong.lastError() != nil })
	if wrong.state() != "nothing" {
		t.Errorf("a wrong filter gives %s", wrong.state())
	}
}

func TestConsulTellsRebirth(t *testing.T) {
	agent := consultest.Start(t)
	name := consultest.Name(t, "pay")
	agent.Register(t, service(name, "a", 8001))
	w := startWatch(t, resolver.Consul{Agent: agent.Agent()}, resolver.Target{Service: name})
	w.until(t, states(name, "a:passing"))
	w.mu.Lock()
	before := w.snapshot.Endpoints[0]
	w.mu.Unlock()
	agent.Deregister(t, name+".a")
	agent.Register(t, service(name, "a", 8001))
	consultest.Until(t, "another start of the same identity", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		e := w.snapshot.Endpoints
		return len(e) == 1 && e[0].ID == before.ID && e[0].Addr == before.Addr && !e[0].Started.Equal(before.Started)
	})
}

// onRequest is a resolver that can be asked to read anew.
type onRequest struct {
	resolver.Resolver
	asked chan struct{}
}

func (r onRequest) Watch(ctx context.Context, t resolver.Target, publish func(resolver.Snapshot, error)) {
	r.Resolver.Watch(resolver.WithResolveNow(ctx, r.asked), t, publish)
}

func TestConsulExecutesPreparedQueries(t *testing.T) {
	agent := consultest.Start(t)
	name := consultest.Name(t, "pay")
	agent.Register(t, service(name, "a", 8001))
	answer := agent.Do(t, http.MethodPost, "/v1/query", map[string]any{
		"Name": name + "-query", "Service": map[string]any{"Service": name}, "DNS": map[string]any{"TTL": "1h"},
	})
	var created struct{ ID string }
	if err := json.Unmarshal(answer, &created); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { agent.Do(t, http.MethodDelete, "/v1/query/"+created.ID, nil) })
	consul := resolver.Consul{Agent: agent.Agent()}
	asked := make(chan struct{}, 1)
	w := startWatch(t, onRequest{consul, asked}, resolver.Target{Service: name + "-query", Query: true})
	w.until(t, states(name, "a:passing"))
	agent.Register(t, service(name, "b", 8002))
	asked <- struct{}{}
	w.until(t, states(name, "a:passing b:passing"))
	none := startWatch(t, consul, resolver.Target{Service: name + "-none", Query: true})
	consultest.Until(t, "an error about the query", func() bool { return none.lastError() != nil })
	if text := none.lastError().Error(); !strings.Contains(text, name+"-none") || !strings.Contains(text, "404") {
		t.Errorf("error %s", text)
	}
}

func TestConsulAway(t *testing.T) {
	agent := consultest.Start(t)
	name := consultest.Name(t, "pay")
	dir := filepath.Join(t.TempDir(), "onehop")
	target := resolver.Target{Service: name}
	register := func() {
		for i := range 3 {
			agent.Register(t, service(name, fmt.Sprint(i), 8001+i))
		}
	}
	all := states(name, "0:passing 1:passing 2:passing")
	register()
	cached := resolver.DiskCache(resolver.Consul{Agent: agent.Agent()}, dir)
	w := startWatch(t, cached, target)
	w.until(t, all)
	consultest.Until(t, "the cache is written", func() bool {
		files, err := filepath.Glob(filepath.Join(dir, "*.snapshot"))
		return err == nil && len(files) == 1
	})

	agent.Kill(t)
	consultest.Until(t, "an error", func() bool { return w.lastError() != nil })
	if text := w.lastError().Error(); !strings.Contains(text, agent.Addr) || !strings.Contains(text, "unreachable") {
		t.Errorf("the error does not name the address: %s", text)
	}
	if w.state() != all {
		t.Errorf("state %s", w.state())
	}
	start := startWatch(t, cached, target)
	start.until(t, all)
	start.mu.Lock()
	if start.snapshot.Origin != "disk" || start.snapshot.At.IsZero() {
		t.Errorf("origin %q, at %v", start.snapshot.Origin, start.snapshot.At)
	}
	start.mu.Unlock()

	// A restarted agent has lost every registration: the instances are held, and nobody is without one.
	agent.Restart(t)
	w.until(t, "")
	w.mu.Lock()
	held := w.set.Members()
	w.mu.Unlock()
	if len(held) != 3 || !held[0].Held {
		t.Errorf("members %+v", held)
	}
	register()
	w.until(t, all)
	w.mu.Lock()
	defer w.mu.Unlock()
	if again := w.set.Members(); len(again) != 3 || again[0].Held || again[0].Addr != held[0].Addr || again[0].ID != held[0].ID {
		t.Errorf("members %+v", again)
	}
}

func TestConsulBlueGreen(t *testing.T) {
	agent := consultest.Start(t)
	name := consultest.Name(t, "pay")
	for i := range 4 {
		agent.Register(t, service(name, fmt.Sprint("blue", i), 8001+i))
	}
	w := startWatch(t, resolver.Consul{Agent: agent.Agent()}, resolver.Target{Service: name})
	defer func() {
		if t.Failed() {
			t.Logf("the catalogue: %s", agent.Do(t, "GET", "/v1/health/service/"+name, nil))
		}
	}()
	w.until(t, states(name, "blue0:passing blue1:passing blue2:passing blue3:passing"))
	for i := range 4 {
		agent.Deregister(t, fmt.Sprint(name, ".blue", i))
	}
	for i := range 4 {
		agent.Register(t, service(name, fmt.Sprint("green", i), 9001+i))
	}
	registered := time.Now()
	w.until(t, states(name, "green0:passing green1:passing green2:passing green3:passing"))
	w.mu.Lock()
	defer w.mu.Unlock()
	t.Logf("seen %v after the last registration", time.Since(registered))
	for _, m := range w.set.Members() {
		if m.Held || !strings.Contains(m.ID, "green") {
			t.Errorf("member %+v", m)
		}
	}
}

func TestConsulLosesItsLeader(t *testing.T) {
	servers := consultest.StartCluster(t)
	var leader *consultest.Agent
	consultest.Until(t, "a leader", func() bool { leader = consultest.Leader(servers); return leader != nil })
	asked := servers[slices.IndexFunc(servers, func(s *consultest.Agent) bool { return s != leader })]
	name := consultest.Name(t, "pay")
	asked.Register(t, service(name, "a", 8001))
	w := startWatch(t, resolver.Consul{Agent: asked.Agent()}, resolver.Target{Service: name})
	w.until(t, states(name, "a:passing"))
	leader.Kill(t)
	// While there is no leader a new watch reads too: any server answers.
	startWatch(t, resolver.Consul{Agent: asked.Agent()}, resolver.Target{Service: name}).until(t, states(name, "a:passing"))
	consultest.Until(t, "another leader", func() bool {
		now := consultest.Leader(servers)
		return now != nil && now != leader
	})
	asked.Register(t, service(name, "b", 8002))
	w.until(t, states(name, "a:passing b:passing"))
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.all {
		if len(s.Endpoints) == 0 {
			t.Error("an empty set was published")
		}
	}
}

func TestConsulOfAnotherDatacenter(t *testing.T) {
	near, far := consultest.StartWAN(t)
	name := consultest.Name(t, "pay")
	near.Register(t, service(name, "near", 8001))
	far.Register(t, service(name, "far", 8002))
	consul := resolver.Consul{Agent: near.Agent()}
	startWatch(t, consul, resolver.Target{Service: name}).until(t, states(name, "near:passing"))
	w := startWatch(t, consul, resolver.Target{Service: name, Datacenter: "dc2"})
	w.until(t, states(name, "far:passing"))
	w.mu.Lock()
	if e := w.snapshot.Endpoints[0]; e.Datacenter != "dc2" {
		t.Errorf("%+v", e)
	}
	w.mu.Unlock()
	there := near.Agent()
	there.Datacenter = "dc2"
	startWatch(t, resolver.Consul{Agent: there}, resolver.Target{Service: name}).until(t, states(name, "far:passing"))
	none := startWatch(t, consul, resolver.Target{Service: name, Datacenter: "dc3"})
	consultest.Until(t, "an error about the datacenter", func() bool { return none.lastError() != nil })
	if text := none.lastError().Error(); !strings.Contains(text, "No path to datacenter") {
		t.Errorf("error %s", text)
	}
}

// token makes an ACL token with rules, and gives its secret and its accessor.
func token(t *testing.T, agent *consultest.Agent, rules string) (secret, accessor string) {
	t.Helper()
	name := consultest.Name(t, "policy")
	agent.Do(t, http.MethodPut, "/v1/acl/policy", map[string]any{"Name": name, "Rules": rules})
	answer := agent.Do(t, http.MethodPut, "/v1/acl/token", map[string]any{"Policies": []any{map[string]any{"Name": name}}})
	var made struct{ SecretID, AccessorID string }
	if err := json.Unmarshal(answer, &made); err != nil {
		t.Fatal(err)
	}
	return made.SecretID, made.AccessorID
}

// A streaming agent tells of a deleted token only to a query that waits just then, and may serve the next from memory: the
// refusal is certain without.
func TestConsulTokenLosesItsRights(t *testing.T) {
	agent := consultest.Start(t, consultest.WithACL(), consultest.WithArgs("-hcl", "use_streaming_backend = false"))
	name := consultest.Name(t, "pay")
	agent.Register(t, service(name, "a", 8001))
	agent.Register(t, service(name, "b", 8002))
	both := states(name, "a:passing b:passing")
	secret, accessor := token(t, agent, `service_prefix "" { policy = "read" } node_prefix "" { policy = "read" }`)
	as := agent.Agent()
	as.Token = secret
	as.Wait = time.Second
	w := startWatch(t, resolver.Consul{Agent: as}, resolver.Target{Service: name})
	w.until(t, both)
	agent.Do(t, http.MethodDelete, "/v1/acl/token/"+accessor, nil)
	consultest.Until(t, "an error", func() bool { return w.lastError() != nil })
	if text := w.lastError().Error(); !strings.Contains(text, "denied") || strings.Contains(text, secret) {
		t.Errorf("error %s", text)
	}
	agent.Register(t, service(name, "c", 8003))
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.all {
		if len(s.Endpoints) != 2 {
			t.Errorf("published %+v", s)
		}
	}
}

func TestConsulWithoutRights(t *testing.T) {
	agent := consultest.Start(t, consultest.WithACL())
	name := consultest.Name(t, "pay")
	agent.Register(t, service(name, "a", 8001))
	blind, _ := token(t, agent, `key_prefix "" { policy = "read" }`)
	noNodes, _ := token(t, agent, `service_prefix "" { policy = "read" }`)
	for who, secret := range map[string]string{
		"anonymous": "", "without rights": blind, "without node:read": noNodes, "unknown": "22222222-2222-2222-2222-222222222222",
	} {
		t.Run(who, func(t *testing.T) {
			as := agent.Agent()
			as.Token = secret
			w := startWatch(t, resolver.Consul{Agent: as}, resolver.Target{Service: name})
			consultest.Until(t, "an error", func() bool { return w.lastError() != nil })
			if text := w.lastError().Error(); !strings.Contains(text, "denied") || w.state() != "nothing" {
				t.Errorf("%s, error %s", w.state(), text)
			}
		})
	}
}

func TestDNSOnConsul(t *testing.T) {
	agent := consultest.Start(t)
	if agent.DNSAddr == "" {
		t.Skip("a shared agent has no known DNS address")
	}
	name := consultest.Name(t, "pay")
	for i := range 60 {
		s := service(name, fmt.Sprint(i), 8001+i)
		s.Tags = []string{"v" + fmt.Sprint(i%2)}
		agent.Register(t, s)
	}
	size := func(w *watch) int {
		w.mu.Lock()
		defer w.mu.Unlock()
		return len(w.snapshot.Endpoints)
	}
	dns := resolver.DNS{Server: agent.DNSAddr}
	all := startWatch(t, dns, resolver.Target{Service: name})
	consultest.Until(t, "all 60", func() bool { return size(all) == 60 })
	tagged := startWatch(t, dns, resolver.Target{Service: name, Tag: "v1", Datacenter: agent.Datacenter})
	consultest.Until(t, "30 of one tag", func() bool { return size(tagged) == 30 })
	fixed := startWatch(t, resolver.DNS{Server: agent.DNSAddr, Port: 9}, resolver.Target{Service: name})
	consultest.Until(t, "one address", func() bool { return size(fixed) == 1 })
	if got := fixed.endpoint(0).Addr; got != "127.0.0.1:9" {
		t.Errorf("address %s", got)
	}
	none := startWatch(t, dns, resolver.Target{Service: name + "-none"})
	consultest.Until(t, "an empty answer", func() bool { return none.state() == "" })
	agent.Register(t, service(name, "new", 9000))
	consultest.Until(t, "the new one", func() bool { return size(all) == 61 })
	agent.Kill(t)
	consultest.Until(t, "an error", func() bool { return all.lastError() != nil })
	if text := all.lastError().Error(); size(all) != 61 || !strings.Contains(text, agent.DNSAddr) {
		t.Errorf("%d endpoints, error %s", size(all), text)
	}
}

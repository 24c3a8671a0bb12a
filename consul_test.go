package onehop_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/onehop-go/onehop"
	"github.com/onehop-go/onehop/httpclient"
	"github.com/onehop-go/onehop/internal/consultest"
	"github.com/onehop-go/onehop/policy"
	"github.com/onehop-go/onehop/resolver"
)

// news collects what discovery and policy publish.
type news struct {
	mu       sync.Mutex
	snaps    []resolver.Snapshot
	revs     []policy.Revision
	snapErrs []error
}

func (n *news) observer() onehop.Observer {
	return onehop.Observer{
		Resolved: func(_ context.Context, _ resolver.Target, s resolver.Snapshot, err error) {
			n.mu.Lock()
			defer n.mu.Unlock()
			if err != nil {
				n.snapErrs = append(n.snapErrs, err)
				return
			}
			n.snaps = append(n.snaps, s)
		},
		Configured: func(_ context.Context, _ string, r policy.Revision, err error) {
			n.mu.Lock()
			defer n.mu.Unlock()
			if err == nil {
				n.revs = append(n.revs, r)
			}
		},
	}
}

func (n *news) listed() (addrs []string, origin string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.snaps) == 0 {
		return nil, ""
	}
	s := n.snaps[len(n.snaps)-1]
	for _, e := range s.Endpoints {
		addrs = append(addrs, e.Addr)
	}
	return addrs, s.Origin
}

func (n *news) attempts() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.revs) == 0 {
		return 0
	}
	return n.revs[len(n.revs)-1].Policy.Retry.MaxAttempts
}

func (n *news) failed() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.snapErrs) > 0
}

// caller makes calls and notes who answered.
type caller struct {
	t   *testing.T
	web *http.Client
	url string
}

// call makes n GETs, none of which may fail, and returns who answered how many.
func (c *caller) call(n int) map[string]int {
	c.t.Helper()
	by := map[string]int{}
	for range n {
		resp, err := c.web.Get(c.url)
		if err != nil {
			c.t.Fatal(err)
		}
		_, err = io.Copy(io.Discard, resp.Body)
		if cerr := resp.Body.Close(); err != nil || cerr != nil || resp.StatusCode != http.StatusOK {
			c.t.Fatalf("status %d, %v, %v", resp.StatusCode, err, cerr)
		}
		by[resp.Header.Get(consultest.InstanceHeader)]++
	}
	return by
}

// The main job on the real thing: find the instances in Consul, take the policy from KV, call them directly, and
// survive the death of an instance, a live change of the policy, and the loss of Consul itself.
func TestTheMainJob(t *testing.T) {
	agent := consultest.Start(t)
	name := consultest.Name(t, "pay")
	instances := make([]*consultest.Instance, 3)
	ids := make([]string, 3)
	for i := range instances {
		instances[i] = consultest.StartInstance(t, fmt.Sprintf("%s-%d", name, i))
		ids[i] = agent.Register(t, instances[i].Service(name))
	}
	agent.KVPut(t, "onehop/policy/"+name, "retry: {max_attempts: 4}\n")
	cache := t.TempDir()
	n := &news{}
	hop, err := onehop.New(onehop.WithConsul(agent.Agent()), onehop.WithCacheDir(cache),
		onehop.WithObserver(n.observer()), onehop.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		t.Fatal(err)
	}
	defer hop.Close() //nolint:errcheck // checked below
	if err := hop.Ready(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	c := &caller{t: t, web: httpclient.New(hop), url: "http://" + name + "/v1"}

	if by := c.call(60); len(by) != 3 {
		t.Fatalf("answered by %v; want all three instances", by)
	}
	if got := n.attempts(); got != 4 {
		t.Errorf("max_attempts %d; want 4, as KV says", got)
	}

	instances[0].Kill(t)
	by := c.call(100)
	if by[instances[0].ID] > 0 {
		t.Errorf("the killed instance answered: %v", by)
	}

	agent.KVPut(t, "onehop/policy/"+name, "retry: {max_attempts: 2}\n")
	consultest.Until(t, "the changed policy is in force", func() bool { return n.attempts() == 2 })
	agent.KVPut(t, "onehop/policy/"+name, "retry: {max_attempts: 2000}\n")
	c.call(20)
	if got := n.attempts(); got != 2 {
		t.Errorf("an invalid policy was published: max_attempts %d", got)
	}

	agent.Deregister(t, ids[1])
	consultest.Until(t, "the deregistered instance is gone", func() bool { addrs, _ := n.listed(); return len(addrs) == 2 })
	// It drains while it still runs: no call reaches it any more.
	if by := c.call(50); by[instances[1].ID] > 0 {
		t.Errorf("the deregistered instance answered: %v", by)
	}

	if agent.Shared() {
		return // Consul is not ours to kill
	}
	agent.Kill(t)
	consultest.Until(t, "the loss of Consul is seen", n.failed)
	c.call(100)
	if err := hop.Close(); err != nil {
		t.Fatal(err)
	}

	// A start without Consul: the disk cache serves.
	n2 := &news{}
	again, err := onehop.New(onehop.WithConsul(agent.Agent()), onehop.WithCacheDir(cache),
		onehop.WithObserver(n2.observer()), onehop.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close() //nolint:errcheck // nothing in flight
	c.web = httpclient.New(again)
	c.call(50)
	if _, origin := n2.listed(); origin != "disk" {
		t.Errorf("resolved from %q; want disk", origin)
	}
}

// The same by Consul's DNS, which tells no more than addresses and weights.
func TestTheMainJobByDNS(t *testing.T) {
	agent := consultest.Start(t)
	if agent.DNSAddr == "" {
		t.Skip("the shared agent does not say where its DNS is")
	}
	name := consultest.Name(t, "pay")
	instances := consultest.StartService(t, agent, name, 2)
	hop := newClient(t, policy.Default(), nil, onehop.WithResolver(resolver.DNS{Server: agent.DNSAddr}))
	c := &caller{t: t, web: httpclient.New(hop), url: "http://" + name + "/v1"}
	if by := c.call(40); len(by) != 2 {
		t.Fatalf("answered by %v; want both instances", by)
	}
	instances[0].Kill(t)
	if by := c.call(60); by[instances[1].ID] != 60 {
		t.Errorf("answered by %v; want the one that lives", by)
	}
}

// With a TTL of an hour nobody would hear of a service that has moved as a whole, but a call that finds its old place
// closed, or nobody to call, asks.
func TestServiceThatMovedIsFoundInSpiteOfItsTTL(t *testing.T) {
	agent := consultest.Start(t, consultest.WithArgs("-hcl", `dns_config { service_ttl = { "*" = "1h" } }`))
	if agent.DNSAddr == "" {
		t.Skip("the shared agent does not say where its DNS is")
	}
	name := consultest.Name(t, "pay")
	old, moved := consultest.StartInstance(t, "old"), consultest.StartInstance(t, "moved")
	id := agent.Register(t, old.Service(name))
	hop := newClient(t, policy.Default(), nil, onehop.WithResolver(resolver.DNS{Server: agent.DNSAddr}))
	c := &caller{t: t, web: httpclient.New(hop), url: "http://" + name + "/v1"}
	c.call(10)
	agent.Deregister(t, id)
	old.Kill(t)
	agent.Register(t, moved.Service(name))
	consultest.Until(t, "an answer from where it is now", func() bool {
		resp, err := c.web.Get(c.url)
		if err != nil {
			return false
		}
		return resp.Body.Close() == nil
	})
	if by := c.call(10); by[moved.ID] != 10 {
		t.Errorf("answered by %v; want %s", by, moved.ID)
	}
}

func TestWithoutConsulAndCacheTheErrorNamesConsul(t *testing.T) {
	agent := consultest.Addr(t)
	failed := make(chan struct{})
	tell := sync.OnceFunc(func() { close(failed) })
	hop, err := onehop.New(onehop.WithConsul(consulAt(agent)), onehop.WithCacheDir(""), onehop.WithLogger(slog.New(slog.DiscardHandler)),
		onehop.WithObserver(onehop.Observer{Resolved: func(_ context.Context, _ resolver.Target, _ resolver.Snapshot, err error) {
			if err != nil {
				tell()
			}
		}}))
	if err != nil {
		t.Fatal(err)
	}
	defer hop.Close() //nolint:errcheck // nothing in flight
	u := hop.Upstream("pay")
	<-failed
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err = onehop.Do(ctx, u, asking)
	if onehop.ReasonOf(err) != onehop.ReasonUnresolved || !contains(err, agent) || !contains(err, "pay") {
		t.Errorf("got %v; want unresolved, with the service and %s", err, agent)
	}
}

func TestAnUnknownServiceFailsAtOnce(t *testing.T) {
	hop := newClient(t, policy.Default(), nil)
	_, err := httpclient.New(hop).Get("http://pya/v1")
	if onehop.ReasonOf(err) != onehop.ReasonNoEndpoints || !contains(err, "pya") {
		t.Errorf("got %v; want no_endpoints", err)
	}
}

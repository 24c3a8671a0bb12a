package onehop_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync/atomic"
	"testing"

	"github.com/onehop-go/onehop"
	"github.com/onehop-go/onehop/consul"
	"github.com/onehop-go/onehop/internal/consultest"
	"github.com/onehop-go/onehop/policy"
	"github.com/onehop-go/onehop/resolver"
)

// gated is an agent whose word on itself is held back until the gate opens, and counted.
type gated struct {
	addr string
	gate chan struct{}
	asks atomic.Int64
}

func newGated(t *testing.T, a *consultest.Agent) *gated {
	t.Helper()
	g := &gated{gate: make(chan struct{})}
	target, err := url.Parse("http://" + a.Addr)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.ErrorHandler = func(http.ResponseWriter, *http.Request, error) {} // a blocking query that the client gave up
	base := &http.Transport{}
	proxy.Transport = base
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/agent/self" {
			g.asks.Add(1)
			select {
			case <-g.gate:
			case <-r.Context().Done():
				return
			}
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(func() { server.Close(); base.CloseIdleConnections() })
	g.addr = server.Listener.Addr().String()
	return g
}

// registerZones registers three instances of service in each zone.
func registerZones(t *testing.T, a *consultest.Agent, service string, zones ...string) {
	t.Helper()
	for z, zone := range zones {
		for i := range 3 {
			a.Register(t, consultest.Service{
				ID: fmt.Sprint(service, zone, i), Name: service, Port: 20000 + 10*z + i, Meta: map[string]string{"zone": zone},
			})
		}
	}
}

// zonesOf is the zones of 60 calls' endpoints.
func zonesOf(t *testing.T, u *onehop.Upstream) map[string]int {
	t.Helper()
	zones := map[string]int{}
	for range 60 {
		zone, err := onehop.Do(t.Context(), u, func(_ context.Context, e resolver.Endpoint) (string, error) { return e.Zone, nil })
		if err != nil {
			t.Fatal(err)
		}
		zones[zone]++
	}
	return zones
}

// The caller's zone is its agent's node's: asked once for all upstreams, and no call waits for it.
func TestTheZoneIsTheAgentsNodes(t *testing.T) {
	t.Setenv("ONEHOP_ZONE", "")
	a := consultest.Start(t, consultest.WithArgs("-node-meta", "zone:eu-1a"))
	g := newGated(t, a)
	pay, stock := consultest.Name(t, "pay"), consultest.Name(t, "stock")
	registerZones(t, a, pay, "eu-1a", "eu-1b")
	registerZones(t, a, stock, "eu-1a", "eu-1b")
	hop := zoneClient(t, consul.Agent{Address: g.addr})

	before := zonesOf(t, hop.Upstream(pay)) // the agent has not answered
	if before["eu-1a"] == 0 || before["eu-1b"] == 0 {
		t.Errorf("calls by zone before the own one is known: %v; want both", before)
	}
	close(g.gate)
	for _, name := range []string{pay, stock} {
		u := hop.Upstream(name)
		consultest.Until(t, name+": all calls go to the own zone", func() bool { return zonesOf(t, u)["eu-1a"] == 60 })
	}
	if n := g.asks.Load(); n != 1 {
		t.Errorf("the agent was asked %d times where it stands, by two upstreams; want once", n)
	}
}

func TestTheZoneIsNotAskedFor(t *testing.T) {
	a := consultest.Start(t)
	rows := []struct {
		name, env string
		zones     []string
		opts      []onehop.Option
		want      string // "": all zones
	}{
		{"the environment says it", "eu-1b", []string{"eu-1a", "eu-1b"}, nil, "eu-1b"},
		{"the code says it", "eu-1a", []string{"eu-1a", "eu-1b"}, []onehop.Option{onehop.WithZone("eu-1b")}, "eu-1b"},
		{"nobody has a zone", "", []string{""}, nil, ""},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Setenv("ONEHOP_ZONE", row.env)
			g := newGated(t, a)
			close(g.gate)
			name := consultest.Name(t, "zoned")
			registerZones(t, a, name, row.zones...)
			hop := zoneClient(t, consul.Agent{Address: g.addr}, row.opts...)
			got := zonesOf(t, hop.Upstream(name))
			if g.asks.Load() != 0 {
				t.Error("the agent was asked where it stands")
			}
			if got[row.want] != 60 {
				t.Errorf("calls by zone: %v; want all in %q", got, row.want)
			}
		})
	}
}

// zoneClient is a client of the agent's services, without a disk cache.
func zoneClient(t *testing.T, a consul.Agent, opts ...onehop.Option) *onehop.Client {
	t.Helper()
	hop, err := onehop.New(append([]onehop.Option{
		onehop.WithConsul(a), onehop.WithPolicies(policy.Static{}), onehop.WithCacheDir(""), onehop.WithLogger(slog.New(slog.DiscardHandler)),
	}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := hop.Close(); err != nil {
			t.Error(err)
		}
	})
	return hop
}

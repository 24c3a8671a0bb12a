package heavy

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

func init() { zerolog.SetGlobalLevel(zerolog.Disabled) } // toxics log to the global logger

// proxy is a toxiproxy before one address.
type proxy struct {
	t    *testing.T
	addr string
	p    *toxiproxy.Proxy
}

// before starts a proxy before the address upstream, without a toxic. It ends with t.
func before(t *testing.T, upstream string) *proxy {
	t.Helper()
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	p := toxiproxy.NewProxy(server, t.Name(), "127.0.0.1:0", upstream)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	x := &proxy{t: t, addr: p.Listen, p: p}
	t.Cleanup(func() {
		x.cure()
		p.Stop()
	})
	return x
}

// attributes of a toxic, see https://github.com/Shopify/toxiproxy#toxics.
type attributes map[string]any

// poison adds a toxic to what the server sends.
func (x *proxy) poison(kind string, a attributes) {
	x.t.Helper()
	toxic, err := json.Marshal(map[string]any{"name": kind, "type": kind, "stream": "downstream", "toxicity": 1, "attributes": a})
	if err != nil {
		x.t.Fatal(err)
	}
	if _, err := x.p.Toxics.AddToxicJson(strings.NewReader(string(toxic))); err != nil {
		x.t.Fatal(err)
	}
}

// cure takes every toxic away.
func (x *proxy) cure() { x.p.Toxics.ResetToxics(context.Background()) }

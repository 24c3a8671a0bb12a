package wire

import (
	"fmt"
	"log/slog"
	"net/url"

	"github.com/onehop-go/onehop"
	"github.com/onehop-go/onehop/consul"
	"github.com/onehop-go/onehop/policy"
	"github.com/onehop-go/onehop/resolver"
)

// way is how a generator makes its calls; it travels to the generator's process.
type way struct {
	By     means
	Addrs  []string // the instances, or the proxy
	Consul string   // address of the agent that knows service; "": onehop is given Addrs
	Policy string   // document of onehop; "": its defaults
}

// means is the code that makes a call.
type means string

const (
	byNetHTTP  means = "net/http"    // round robin over Addrs, nothing else; also what calls a proxy
	byOnehop   means = "onehop"      // over HTTP
	byFailsafe means = "failsafe-go" // over the round robin of byNetHTTP
	byKratos   means = "kratos"      // its HTTP client, with p2c
	byGRPC     means = "grpc-go"     // round_robin over Addrs; also what calls a proxy
	byHopGRPC  means = "onehop grpc" // over gRPC
)

// service is the name under which the instances are known.
const service = "echo"

// open makes the code that calls. It lives as long as the process.
func (w *way) open() (call, error) {
	switch w.By {
	case byNetHTTP:
		return newNetHTTP(w.Addrs), nil
	case byFailsafe:
		return newFailsafe(w.Addrs), nil
	case byKratos:
		return newKratos(w.Addrs)
	case byGRPC:
		return newGRPC(w.Addrs)
	case byOnehop, byHopGRPC:
		return w.throughOnehop()
	default:
		return nil, fmt.Errorf("no way to call by %q", w.By)
	}
}

func (w *way) throughOnehop() (call, error) {
	hop, err := w.hop()
	if err != nil {
		return nil, err
	}
	if w.By == byHopGRPC {
		return newOnehopGRPC(hop)
	}
	return newOnehop(hop), nil
}

// hop makes onehop's client.
func (w *way) hop() (*onehop.Client, error) {
	options := []onehop.Option{onehop.WithCacheDir(""), onehop.WithLogger(slog.New(slog.DiscardHandler))}
	if w.Consul != "" {
		return onehop.New(append(options, onehop.WithConsul(consul.Agent{Address: w.Consul}))...)
	}
	p, problems, err := policy.Parse([]byte(w.Policy), policy.Default())
	if err != nil {
		return nil, err
	}
	if len(problems) > 0 {
		return nil, problems
	}
	return onehop.New(append(options,
		onehop.WithResolver(resolver.Static{service: w.Addrs}), onehop.WithPolicies(policy.Static{service: p}))...)
}

// urls are what a client calls at addrs.
func urls(addrs []string) []string {
	all := make([]string, len(addrs))
	for i, addr := range addrs {
		all[i] = (&url.URL{Scheme: "http", Host: addr, Path: "/"}).String()
	}
	return all
}

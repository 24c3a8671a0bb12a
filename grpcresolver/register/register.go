// Package register registers scheme consul with the environment's settings when it is imported, for code that knows only
// grpc.NewClient:
//
//	import _ "github.com/onehop-go/onehop/grpcresolver/register"
//
//	conn, err := grpc.NewClient("consul:///inventory", grpc.WithTransportCredentials(creds))
//
// It works in the scheme-only mode of grpcresolver.NewBuilder. A target may name another Consul agent, as targets of
// mbobakov/grpc-consul-resolver do: consul://[token@]agent:8500/inventory?tag=v2&token=...&require-consistent=true. Each
// agent and token has a Client of its own, made at the first dial and kept for the life of the process.
package register

import (
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	grpc "google.golang.org/grpc/resolver"

	"github.com/onehop-go/onehop"
	"github.com/onehop-go/onehop/consul"
	"github.com/onehop-go/onehop/grpcresolver"
	"github.com/onehop-go/onehop/resolver"
)

func init() { grpc.Register(&clients{}) }

// settings are what a target may say about its agent. Comparable: equal ones share a Client.
type settings struct {
	address     string
	token       string
	consistency resolver.Consistency
}

// clients is a grpc.Builder with a Client for each settings.
type clients struct {
	mu  sync.Mutex
	all map[settings]*client
}

type client struct {
	hop     *onehop.Client
	builder grpc.Builder
}

// Scheme implements resolver.Builder.
func (*clients) Scheme() string { return grpcresolver.Scheme }

// Build implements resolver.Builder.
func (c *clients) Build(target grpc.Target, cc grpc.ClientConn, opts grpc.BuildOptions) (grpc.Resolver, error) {
	s, rest, err := read(target.URL)
	if err != nil {
		return nil, err
	}
	found, err := c.client(s)
	if err != nil {
		return nil, err
	}
	target.URL = rest
	return found.builder.Build(target, cc, opts)
}

func (c *clients) client(s settings) (*client, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if found := c.all[s]; found != nil {
		return found, nil
	}
	hop, err := onehop.New(s.options()...)
	if err != nil {
		return nil, err
	}
	if c.all == nil {
		c.all = map[settings]*client{}
	}
	made := &client{hop: hop, builder: grpcresolver.NewBuilder(hop)}
	c.all[s] = made
	return made, nil
}

func (s settings) options() []onehop.Option {
	agent := consul.Agent{Address: s.address, Token: s.token}
	opts := []onehop.Option{onehop.WithConsul(agent)}
	if s.consistency != "" {
		opts = append(opts, onehop.WithResolver(cached(resolver.Consul{Agent: agent, Consistency: s.consistency})))
	}
	return opts
}

// cached is r over the disk cache where onehop.New would have put one.
func cached(r resolver.Resolver) resolver.Resolver {
	dir, err := os.UserCacheDir()
	if err != nil {
		return r
	}
	return resolver.DiskCache(r, filepath.Join(dir, "onehop"))
}

// read takes what a target says about its agent out of it. Errors never repeat it: it may hold a token.
func read(u url.URL) (settings, url.URL, error) {
	s := settings{address: u.Host}
	if u.User != nil {
		if _, both := u.User.Password(); both {
			return s, u, errors.New("grpcresolver/register: a user and password before the agent (HTTP basic authentication) are not " +
				"supported; want consul://[token@]agent:8500/service, or CONSUL_HTTP_TOKEN")
		}
		s.token, u.User = u.User.Username(), nil
	}
	params := u.Query()
	if t := params.Get("token"); t != "" {
		s.token = t
	}
	for name, consistency := range map[string]resolver.Consistency{"allow-stale": resolver.Stale, "require-consistent": resolver.Consistent} {
		if !params.Has(name) {
			continue
		}
		on, err := strconv.ParseBool(params.Get(name))
		if err != nil {
			return s, u, errors.New("grpcresolver/register: " + name + " must be true or false")
		}
		if on {
			if s.consistency != "" {
				return s, u, errors.New("grpcresolver/register: allow-stale and require-consistent exclude each other")
			}
			s.consistency = consistency
		}
		params.Del(name)
	}
	params.Del("token")
	u.RawQuery = params.Encode()
	return s, u, nil
}

package grpcresolver

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	grpcresolver "google.golang.org/grpc/resolver"
	"google.golang.org/grpc/serviceconfig"

	"github.com/onehop-go/onehop"
	"github.com/onehop-go/onehop/policy"
	"github.com/onehop-go/onehop/resolver"
)

// told is grpc-go's side of a resolver, which writes down what it is given.
type told struct {
	grpcresolver.ClientConn // nil: what is not below is not called

	mu     sync.Mutex
	states []grpcresolver.State
	errs   []error
}

func (c *told) UpdateState(s grpcresolver.State) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.states = append(c.states, s)
	return nil
}

func (c *told) ReportError(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.errs = append(c.errs, err)
}

func (*told) ParseServiceConfig(string) *serviceconfig.ParseResult {
	return &serviceconfig.ParseResult{}
}

// sizes are how many endpoints each state had.
func (c *told) sizes() (list []int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.states {
		list = append(list, len(s.Endpoints))
	}
	return list
}

func (c *told) errors() []error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.errs)
}

// resolve makes a resolver as a ClientConn does: NewClient has a link of its own for each.
func resolve(t *testing.T, hop *onehop.Client, native bool) (*told, grpcresolver.Resolver) {
	t.Helper()
	u, err := url.Parse("consul:///inventory")
	if err != nil {
		t.Fatal(err)
	}
	c := &told{}
	r, err := (&builder{link: newLink(hop), native: native}).Build(grpcresolver.Target{URL: *u}, c, grpcresolver.BuildOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return c, r
}

// grpc-go is told of what is new to it, and of nothing else: each update makes it fill its retry throttle and its balancer
// look at every endpoint.
func TestRealChangesOnlyArePublished(t *testing.T) {
	changed := func(change func(*policy.Policy)) policy.Policy {
		p := policy.Default()
		change(&p)
		return p
	}
	for mode, native := range map[string]bool{"loop": false, "scheme only": true} {
		t.Run(mode, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				src, s := &scriptedPolicy{}, &scripted{}
				src.set(policy.Default())
				s.set("10.0.0.1:80")
				hop, err := onehop.New(onehop.WithResolver(s), onehop.WithPolicies(src), onehop.WithLogger(slog.New(slog.DiscardHandler)))
				if err != nil {
					t.Fatal(err)
				}
				defer hop.Close() //nolint:errcheck // a test's
				c, r := resolve(t, hop, native)
				defer r.Close()
				before := 0
				for _, step := range []struct {
					why    string
					change func()
					news   bool
				}{
					{"the first snapshot", func() {}, true},
					{"the same snapshot", func() { s.set("10.0.0.1:80") }, false},
					{"another weight", func() { s.put(weighted("10.0.0.1:80", 7)) }, false},
					{"other tags", func() { s.put(resolver.Endpoint{Addr: "10.0.0.1:80", Tags: []string{"v2"}}) }, false},
					{"the same policy", func() { src.set(policy.Default()) }, false},
					{"what service config cannot say", func() {
						src.set(changed(func(p *policy.Policy) { p.Hedge = 0.01; p.CircuitBreaker.OpenFor = time.Minute }))
					}, false},
					{"a timeout", func() { src.set(changed(func(p *policy.Policy) { p.Timeout = time.Minute })) }, native},
					{"another endpoint", func() { s.set("10.0.0.1:80", "10.0.0.2:80") }, true},
					{"another order", func() { s.set("10.0.0.2:80", "10.0.0.1:80") }, false},
				} {
					step.change()
					synctest.Wait()
					now := len(c.sizes())
					if news := now - before; news != 0 != step.news || news > 1 {
						t.Errorf("%s: told %d times", step.why, news)
					}
					before = now
				}
			})
		})
	}
}

// grpc-go would drop its connections over an empty list. It hears an error instead, and keeps what it has.
func TestGRPCNeverGetsAnEmptyList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hop, s := hopTo(t, policy.Default())
		c, r := resolve(t, hop, false)
		defer r.Close()
		synctest.Wait()
		if got, errs := c.sizes(), c.errors(); len(got) != 0 || len(errs) != 1 || !errors.Is(errs[0], errNoEndpoints) {
			t.Errorf("told of %v endpoints where there is none, and %v", got, errs)
		}
		s.set("10.0.0.1:80")
		synctest.Wait()
		s.set()
		time.Sleep(time.Minute) // who vanishes with all others is held for half of that
		synctest.Wait()
		if got := c.sizes(); !slices.Equal(got, []int{1}) {
			t.Errorf("told of %v endpoints, want of the one", got)
		}
		if errs := c.errors(); len(errs) != 2 || !errors.Is(errs[1], errNoEndpoints) {
			t.Errorf("errors %v, want another that says so", errs)
		}
		s.set("10.0.0.1:80")
		synctest.Wait()
		if got := c.sizes(); !slices.Equal(got, []int{1, 1}) {
			t.Errorf("it is back, and grpc-go was told of %v endpoints", got)
		}
	})
}

// watched is a script that counts who reads it.
type watched struct {
	scripted
	watches atomic.Int32
	asked   <-chan struct{} // of the last of them
}

func (w *watched) Watch(ctx context.Context, t resolver.Target, publish func(resolver.Snapshot, error)) {
	w.watches.Add(1)
	w.asked = resolver.ResolveNow(ctx)
	w.scripted.Watch(ctx, t, publish)
}

// However many ClientConns a process has to a service, and however often grpc-go asks them to resolve anew, as it does after
// each lost connection, discovery is asked by one watch.
func TestClientConnsShareOneWatch(t *testing.T) {
	const many = 3000
	synctest.Test(t, func(t *testing.T) {
		s := &watched{}
		s.set("10.0.0.1:80")
		hop, err := onehop.New(onehop.WithResolver(s), onehop.WithPolicies(policy.Static{}), onehop.WithLogger(slog.New(slog.DiscardHandler)))
		if err != nil {
			t.Fatal(err)
		}
		defer hop.Close() //nolint:errcheck // a test's
		var all []*told
		for i := range many {
			c, r := resolve(t, hop, i%2 == 0)
			defer r.Close()
			all = append(all, c)
			for range 10 {
				r.ResolveNow(grpcresolver.ResolveNowOptions{})
			}
		}
		synctest.Wait()
		if n := len(s.asked); n != 1 {
			t.Errorf("discovery is asked to read anew %d times; want once", n)
		}
		s.set("10.0.0.1:80", "10.0.0.2:80")
		synctest.Wait()
		for _, c := range all {
			if got := c.sizes(); !slices.Equal(got, []int{1, 2}) {
				t.Fatalf("a ClientConn was told of %v endpoints", got)
			}
		}
		if n := s.watches.Load(); n != 1 {
			t.Errorf("%d watches for %d ClientConns", n, many)
		}
	})
}

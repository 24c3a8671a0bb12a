package wire

import (
	"context"
	"net/http"

	"github.com/go-kratos/kratos/v2/registry"
	"github.com/go-kratos/kratos/v2/selector"
	"github.com/go-kratos/kratos/v2/selector/p2c"
	kratos "github.com/go-kratos/kratos/v2/transport/http"
)

// newKratos has kratos's HTTP client with its p2c balancer. It has no retries; its breaker is a service's and not here.
func newKratos(addrs []string) (call, error) {
	selector.SetGlobalSelector(p2c.NewBuilder())
	c, err := kratos.NewClient(context.Background(), kratos.WithEndpoint("discovery:///"+service), kratos.WithDiscovery(listed(addrs)),
		kratos.WithTransport(newTransport()), kratos.WithTimeout(callTimeout), kratos.WithBlock())
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) error { return get(ctx, kratosDoer{c}, "http://"+service+"/") }, nil
}

// kratosDoer gives kratos's client the method of net/http's.
type kratosDoer struct{ c *kratos.Client }

func (d kratosDoer) Do(req *http.Request) (*http.Response, error) { return d.c.Do(req) }

// listed is a fixed set as kratos's discovery.
type listed []string

// GetService returns the set.
func (l listed) GetService(context.Context, string) ([]*registry.ServiceInstance, error) {
	all := make([]*registry.ServiceInstance, len(l))
	for i, addr := range l {
		all[i] = &registry.ServiceInstance{ID: addr, Name: service, Endpoints: []string{"http://" + addr}}
	}
	return all, nil
}

// Watch gives the set once.
func (l listed) Watch(ctx context.Context, _ string) (registry.Watcher, error) {
	ctx, cancel := context.WithCancel(ctx)
	return &onceListed{listed: l, ctx: ctx, cancel: cancel}, nil
}

// onceListed is a watch of a set that never changes. Next is called by one goroutine at a time.
type onceListed struct {
	listed

	ctx    context.Context
	cancel context.CancelFunc
	told   bool
}

// Next returns the set at first, then blocks until Stop.
func (o *onceListed) Next() ([]*registry.ServiceInstance, error) {
	if !o.told {
		o.told = true
		return o.GetService(o.ctx, service)
	}
	<-o.ctx.Done()
	return nil, o.ctx.Err()
}

// Stop ends the watch.
func (o *onceListed) Stop() error {
	o.cancel()
	return nil
}

package peers

import (
	"context"
	"net/http"
	"sync"

	"github.com/go-kratos/kratos/v2/middleware/circuitbreaker"
	"github.com/go-kratos/kratos/v2/registry"
	"github.com/go-kratos/kratos/v2/selector"
	"github.com/go-kratos/kratos/v2/selector/p2c"
	kratoshttp "github.com/go-kratos/kratos/v2/transport/http"
)

// kratosClient balances by p2c over the instances. Middleware, and so a breaker, has but one way: Invoke, which makes the
// request and decodes the answer. It does not retry.
func kratosClient(name string) (Candidate, error) {
	selector.SetGlobalSelector(p2c.NewBuilder()) // the process's only one
	c, err := kratoshttp.NewClient(context.Background(),
		kratoshttp.WithEndpoint("discovery:///"+service), kratoshttp.WithDiscovery(newCatalogue("http")), kratoshttp.WithBlock(),
		kratoshttp.WithTransport(stub{}), kratoshttp.WithTimeout(callTimeout), kratoshttp.WithMiddleware(circuitbreaker.Client()),
	)
	if err != nil {
		return Candidate{}, err
	}
	candidate := Candidate{Name: name, Caller: caller(func(r *http.Request) (*http.Response, error) { return c.Do(r) }), Close: c.Close}
	if name == kratosBreaker {
		candidate.Caller = func() func() error {
			return func() error {
				var reply struct{}
				return c.Invoke(context.Background(), http.MethodGet, "/", nil, &reply)
			}
		}
	}
	return candidate, nil
}

// catalogue is a kratos registry that knows the instances and never changes.
type catalogue struct {
	list []*registry.ServiceInstance
	once sync.Once
	told bool
	done chan struct{}
}

func newCatalogue(scheme string) *catalogue {
	c := &catalogue{done: make(chan struct{})}
	for _, addr := range instances {
		c.list = append(c.list, &registry.ServiceInstance{ID: addr, Name: service, Endpoints: []string{scheme + "://" + addr}})
	}
	return c
}

func (c *catalogue) GetService(context.Context, string) ([]*registry.ServiceInstance, error) {
	return c.list, nil
}

func (c *catalogue) Watch(context.Context, string) (registry.Watcher, error) { return c, nil }

// Next returns the list once, then blocks until Stop. kratos calls it from one goroutine after the other.
func (c *catalogue) Next() ([]*registry.ServiceInstance, error) {
	if !c.told {
		c.told = true
		return c.list, nil
	}
	<-c.done
	return nil, context.Canceled
}

func (c *catalogue) Stop() error {
	c.once.Do(func() { close(c.done) })
	return nil
}

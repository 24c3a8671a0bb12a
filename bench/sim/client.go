package sim

import (
	"context"
	"errors"
	"sync"

	"github.com/onehop-go/onehop/internal/engine"
	"github.com/onehop-go/onehop/internal/health"
	"github.com/onehop-go/onehop/policy"
	"github.com/onehop-go/onehop/resolver"
)

// Client makes the calls of one process.
type Client interface {
	// Call makes one call of a path and returns what its caller saw.
	Call(ctx context.Context, path string) Answer
	// Avoided is the number of servers that the client does not use now.
	Avoided() int
	// Update tells the client what discovery says now.
	Update(listed []*Server)
	// Close ends what runs in the background and waits for it.
	Close()
}

// Answer is what a caller saw.
type Answer struct {
	Status int           // 0: no answer
	Reason engine.Reason // why not, from the engine; "" for others
}

// OK says whether it was the good answer.
func (a Answer) OK() bool { return a.Status == 200 }

// Maker makes a client of one kind; w's servers are its endpoints.
type Maker func(w *World) Client

// Engine makes clients that are the real thing: each an upstream of its own. change alters the default policy; nil
// leaves it.
func Engine(change func(*policy.Policy)) Maker {
	return func(w *World) Client {
		p := policy.Default()
		if change != nil {
			change(&p)
		}
		c := &engineClient{world: w, net: network{conns: map[*Server]*life{}}}
		c.ctx, c.cancel = context.WithCancel(context.Background())
		c.up = engine.NewUpstream(resolver.Target{Service: "sim"}, engine.Env{Context: c.ctx, Go: c.background})
		c.up.Configure(p)
		c.Update(w.Listed())
		return c
	}
}

// EngineFor makes clients for a scenario, with the attempt_timeout it has.
func EngineFor(s Scenario, change func(*policy.Policy)) Maker {
	return Engine(func(p *policy.Policy) {
		p.AttemptTimeout = s.Attempt
		if change != nil {
			change(p)
		}
	})
}

// HeavyRoute gives the calls of HeavyPath a route of their own, so that their time is compared with their like.
func HeavyRoute(p *policy.Policy) {
	p.Routes = []policy.Route{{Name: "heavy", Match: policy.Match{PathPrefix: HeavyPath}, Settings: p.Settings}}
}

type engineClient struct {
	world *World
	up    *engine.Upstream
	net   network

	ctx    context.Context
	cancel context.CancelFunc
	work   sync.WaitGroup
	mu     sync.Mutex // work against Close
}

func (c *engineClient) background(f func(context.Context)) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx.Err() != nil {
		return false
	}
	c.work.Go(func() { f(c.ctx) })
	return true
}

// Call implements Client.
func (c *engineClient) Call(ctx context.Context, path string) Answer {
	call := &call{client: c, Call: engine.Call{Protocol: "http", Method: "GET", Path: path, Safe: true, Replayable: true}}
	call.Keyed(path)
	if err := call.Run(ctx, c.up, call); err != nil {
		if f, ok := errors.AsType[*engine.Failure](err); ok {
			return Answer{Reason: f.Reason}
		}
		return Answer{}
	}
	a := call.Winner().(*attempt) //nolint:forcetypeassert // a call makes no other
	a.End(nil, false)
	return Answer{Status: a.status}
}

// Avoided implements Client.
func (c *engineClient) Avoided() int { return len(c.up.Set().Open()) }

// Update implements Client.
func (c *engineClient) Update(listed []*Server) {
	members := make([]resolver.Endpoint, len(listed))
	for i, s := range listed {
		members[i] = resolver.Endpoint{Addr: s.Addr, Weight: s.Weight}
	}
	c.up.Update("none", health.Tier{Members: members})
}

// Close implements Client.
func (c *engineClient) Close() {
	c.mu.Lock()
	c.cancel()
	c.mu.Unlock()
	c.work.Wait()
}

package grpcresolver

import (
	"context"
	"errors"
	"sync/atomic"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/balancer/endpointsharding"
	"google.golang.org/grpc/balancer/pickfirst"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/resolver"

	"github.com/onehop-go/onehop/internal/engine"
	"github.com/onehop-go/onehop/internal/health"
)

// balancerName is ours in service configs.
const balancerName = "onehop"

// defaultConfig chooses our balancer.
const defaultConfig = `{"loadBalancingConfig":[{"` + balancerName + `":{}}]}`

func init() { balancer.Register(balancerBuilder{}) }

type balancerBuilder struct{}

// Name implements balancer.Builder.
func (balancerBuilder) Name() string { return balancerName }

// Build implements balancer.Builder: a pick_first child for each endpoint, since an endpoint may have several addresses
// (gRFC A61), and over them the choice that grpc-go's own policies make.
func (balancerBuilder) Build(cc balancer.ClientConn, opts balancer.BuildOptions) balancer.Balancer {
	b := &loadBalancer{ClientConn: cc, states: map[*health.Endpoint]connectivity.State{}}
	b.Balancer = endpointsharding.NewBalancer(b, opts, balancer.Get(pickfirst.Name).Build, endpointsharding.Options{})
	return b
}

// loadBalancer is endpointsharding with the picker replaced. What grpc-go learns of its connections it tells the upstream:
// a connection that fails is a confirmed refusal, one that is ready a successful probe, so that no dials are made
// beside grpc-go's.
type loadBalancer struct {
	balancer.ClientConn // of the parent: UpdateState is intercepted
	balancer.Balancer   // the endpointsharding child

	found     atomic.Pointer[lookup]
	ready     atomic.Pointer[picker]                  // as last published
	addresses []string                                // of all endpoints; UpdateClientConnState is called one at a time
	states    map[*health.Endpoint]connectivity.State // as last told; UpdateState is called one at a time
}

type (
	lookupKey   struct{} // in resolver.State.Attributes: *lookup
	endpointKey struct{} // in resolver.Endpoint.Attributes: *health.Endpoint
)

// UpdateClientConnState implements balancer.Balancer.
func (b *loadBalancer) UpdateClientConnState(s balancer.ClientConnState) error {
	if found, ok := s.ResolverState.Attributes.Value(lookupKey{}).(*lookup); ok {
		b.found.Store(found)
		b.expect(addressesOf(s.ResolverState.Endpoints))
	}
	s.ResolverState = pickfirst.EnableHealthListener(s.ResolverState)
	s.BalancerConfig = nil // ours has nothing that pick_first would read
	return b.Balancer.UpdateClientConnState(s)
}

// Close implements balancer.Balancer.
func (b *loadBalancer) Close() {
	b.expect(nil)
	b.Balancer.Close()
	if found := b.found.Load(); found != nil {
		b.publish(found, nil)
	}
}

// expect says whose the addresses are that grpc-go is about to dial.
func (b *loadBalancer) expect(addresses []string) {
	if found := b.found.Load(); found != nil {
		found.link.connects.expect(found.up, b.addresses, addresses)
		b.addresses = addresses
	}
}

func addressesOf(endpoints []resolver.Endpoint) (list []string) {
	for _, e := range endpoints {
		for _, a := range e.Addresses {
			list = append(list, a.Addr)
		}
	}
	return list
}

// NewSubConn implements balancer.ClientConn for the children: a connection that is ready is bounded by connect_timeout no
// longer.
func (b *loadBalancer) NewSubConn(addrs []resolver.Address, opts balancer.NewSubConnOptions) (balancer.SubConn, error) {
	found, listen := b.found.Load(), opts.StateListener
	if found != nil {
		opts.StateListener = func(s balancer.SubConnState) {
			if s.ConnectivityState == connectivity.Ready {
				for _, a := range addrs {
					found.link.connects.ready(a.Addr)
				}
			}
			listen(s)
		}
	}
	return b.ClientConn.NewSubConn(addrs, opts) //nolint:staticcheck // what it asks for is done: pick_first gives each SubConn one address
}

// UpdateState takes the joint state of the children. endpointsharding calls it under its lock, one at a time.
func (b *loadBalancer) UpdateState(s balancer.State) {
	found := b.found.Load()
	if found == nil { // another's resolver: balance in turns, as endpointsharding does
		b.ClientConn.UpdateState(s)
		return
	}
	up := found.up
	children := endpointsharding.ChildStatesFromPicker(s.Picker)
	b.tell(up, children)
	var ready *picker
	switch {
	case up.Context().Err() != nil:
		s.Picker = failing{errClosed}
	case s.ConnectivityState == connectivity.Ready:
		ready = readyPicker(up, children)
		s.Picker = ready
	case s.ConnectivityState == connectivity.TransientFailure && len(children) > 0:
		s.Picker = refusedPicker(up, children)
	}
	b.publish(found, ready)
	b.ClientConn.UpdateState(s)
}

// publish lets attempts be picked for before grpc-go asks; nil takes back what this balancer published.
func (b *loadBalancer) publish(found *lookup, ready *picker) {
	if ready != nil {
		found.ready.Store(ready)
	} else if before := b.ready.Load(); before != nil {
		found.ready.CompareAndSwap(before, nil)
	}
	b.ready.Store(ready)
}

func endpointOf(e resolver.Endpoint) *health.Endpoint {
	h, _ := e.Attributes.Value(endpointKey{}).(*health.Endpoint)
	return h
}

func readyPicker(up *engine.Upstream, children []endpointsharding.ChildState) *picker {
	p := &picker{up: up, ready: make(map[*health.Endpoint]balancer.Picker, len(children))}
	for _, c := range children {
		if e := endpointOf(c.Endpoint); e != nil && c.State.ConnectivityState == connectivity.Ready {
			p.ready[e] = c.State.Picker
			p.list = append(p.list, e)
		}
	}
	return p
}

func refusedPicker(up *engine.Upstream, children []endpointsharding.ChildState) *picker {
	p := &picker{up: up, refused: make(map[*health.Endpoint]error, len(children))}
	for _, c := range children {
		if e := endpointOf(c.Endpoint); e != nil {
			p.refused[e] = connectionError(c.State)
			p.list = append(p.list, e)
		}
	}
	return p
}

var errNotConnected = errors.New("no connection yet")

// connectionError asks a failing child's picker what its connection met.
func connectionError(s balancer.State) error {
	if s.ConnectivityState == connectivity.TransientFailure && s.Picker != nil {
		if _, err := s.Picker.Pick(balancer.PickInfo{Ctx: context.Background()}); err != nil {
			return err
		}
	}
	return errNotConnected
}

// tell passes on to the upstream which connections came and failed since the last time.
func (b *loadBalancer) tell(up *engine.Upstream, children []endpointsharding.ChildState) {
	now, next := health.Now(), make(map[*health.Endpoint]connectivity.State, len(children))
	for _, c := range children {
		e := endpointOf(c.Endpoint)
		if e == nil {
			continue
		}
		state := c.State.ConnectivityState
		next[e] = state
		if b.states[e] == state && state != connectivity.Idle {
			continue
		}
		switch state {
		case connectivity.Ready:
			up.Set().Connected(now, e)
		case connectivity.TransientFailure:
			// What grpc.health.v1 says does not unwrap: the endpoint is there, and only not picked.
			if err := connectionError(c.State); errors.Unwrap(err) != nil {
				up.Set().Unreachable(now, e, err, redial(e))
			}
		default: // idle, connecting: nothing is known yet
		}
	}
	b.states = next
}

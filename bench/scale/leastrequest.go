package scale

import (
	"context"
	"encoding/json"
	"fmt"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/balancer/leastrequest"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/resolver"
)

// leastRequest returns grpc-go's own least_request picker over n endpoints, and its end: its balancer over a ClientConn
// whose connections are ready as soon as they are asked for.
func leastRequest(n int) (balancer.Picker, func(), error) {
	cc := &clientConn{}
	b := balancer.Get(leastrequest.Name)
	parser, ok := b.(balancer.ConfigParser)
	if !ok {
		return nil, nil, fmt.Errorf("scale: %T reads no configuration", b)
	}
	config, err := parser.ParseConfig(json.RawMessage(`{}`))
	if err != nil {
		return nil, nil, err
	}
	lb := b.Build(cc, balancer.BuildOptions{})
	var state resolver.State
	for _, m := range members(n) {
		state.Endpoints = append(state.Endpoints, resolver.Endpoint{Addresses: []resolver.Address{{Addr: m.Addr}}})
	}
	if err := lb.UpdateClientConnState(balancer.ClientConnState{ResolverState: state, BalancerConfig: config}); err != nil {
		lb.Close()
		return nil, nil, err
	}
	for len(cc.events) > 0 {
		e := cc.events[0]
		cc.events = cc.events[1:]
		e()
	}
	if err := cc.knows(n); err != nil {
		lb.Close()
		return nil, nil, err
	}
	return cc.picker, lb.Close, nil
}

// knows draws until nine of ten endpoints should have come: the picker of a balancer that is still connecting would be a
// cheap one.
func (cc *clientConn) knows(n int) error {
	seen := map[balancer.SubConn]bool{}
	for range 20 * n {
		r, err := cc.picker.Pick(balancer.PickInfo{Ctx: context.Background()})
		if err != nil {
			return err
		}
		seen[r.SubConn] = true
		r.Done(balancer.DoneInfo{})
	}
	if len(seen) < n*9/10 {
		return fmt.Errorf("scale: the picker knows %d of %d endpoints", len(seen), n)
	}
	return nil
}

// clientConn is the little of a ClientConn that the balancer needs here.
type clientConn struct {
	balancer.ClientConn
	picker balancer.Picker
	events []func() // run outside the balancer's locks
}

func (cc *clientConn) NewSubConn(_ []resolver.Address, o balancer.NewSubConnOptions) (balancer.SubConn, error) {
	return &subConn{cc: cc, listener: o.StateListener}, nil
}

func (cc *clientConn) UpdateState(s balancer.State)          { cc.picker = s.Picker }
func (cc *clientConn) ResolveNow(resolver.ResolveNowOptions) {}
func (cc *clientConn) Target() string                        { return "bench" }

type subConn struct {
	balancer.SubConn
	cc       *clientConn
	listener func(balancer.SubConnState)
}

func (sc *subConn) Connect() {
	tell := func(s connectivity.State) {
		sc.cc.events = append(sc.cc.events, func() { sc.listener(balancer.SubConnState{ConnectivityState: s}) })
	}
	tell(connectivity.Connecting)
	tell(connectivity.Ready)
}

func (sc *subConn) UpdateAddresses([]resolver.Address) {}
func (sc *subConn) Shutdown()                          {}
func (sc *subConn) RegisterHealthListener(f func(balancer.SubConnState)) {
	sc.cc.events = append(sc.cc.events, func() { f(balancer.SubConnState{ConnectivityState: connectivity.Ready}) })
}

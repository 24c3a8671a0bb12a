package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/balancer/leastrequest"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/resolver"
)

// leastRequest returns grpc-go's own least_request picker over n endpoints: its balancer over a ClientConn whose
// connections are ready as soon as they are asked for.
func leastRequest(tb testing.TB, n int) balancer.Picker {
	tb.Helper()
	cc := &clientConn{}
	b := balancer.Get(leastrequest.Name)
	parser, ok := b.(balancer.ConfigParser)
	if !ok {
		tb.Fatalf("%T reads no configuration", b)
	}
	config, err := parser.ParseConfig(json.RawMessage(`{}`))
	if err != nil {
		tb.Fatal(err)
	}
	lb := b.Build(cc, balancer.BuildOptions{})
	tb.Cleanup(lb.Close)
	state := resolver.State{Endpoints: make([]resolver.Endpoint, n)}
	for i := range state.Endpoints {
		state.Endpoints[i].Addresses = []resolver.Address{{Addr: fmt.Sprintf("10.0.%d.%d:80", i/256, i%256)}}
	}
	if err := lb.UpdateClientConnState(balancer.ClientConnState{ResolverState: state, BalancerConfig: config}); err != nil {
		tb.Fatal(err)
	}
	for len(cc.events) > 0 {
		e := cc.events[0]
		cc.events = cc.events[1:]
		e()
	}
	seen := map[balancer.SubConn]bool{}
	for range 20 * n {
		r, err := cc.picker.Pick(balancer.PickInfo{Ctx: context.Background()})
		if err != nil {
			tb.Fatal(err)
		}
		seen[r.SubConn] = true
		r.Done(balancer.DoneInfo{})
	}
	if len(seen) < n*9/10 {
		tb.Fatalf("the picker knows %d of %d endpoints", len(seen), n)
	}
	return cc.picker
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

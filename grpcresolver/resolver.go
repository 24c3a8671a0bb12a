package grpcresolver

import (
	"context"
	"fmt"
	"slices"
	"time"

	"google.golang.org/grpc/attributes"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/serviceconfig"

	"github.com/onehop-go/onehop/internal/bridge"
	"github.com/onehop-go/onehop/internal/engine"
	"github.com/onehop-go/onehop/internal/health"
	endpoint "github.com/onehop-go/onehop/resolver"
)

// builder makes the resolvers of one link.
type builder struct {
	link   *link
	native bool // scheme-only: the policy travels as service config
}

// Scheme implements resolver.Builder.
func (b *builder) Scheme() string { return Scheme }

// Build implements resolver.Builder. An error reaches the calls: grpc-go fails them with it.
func (b *builder) Build(target resolver.Target, cc resolver.ClientConn, _ resolver.BuildOptions) (resolver.Resolver, error) {
	found := b.link.upstream(target.URL.String())
	if found.err != nil {
		return nil, found.err
	}
	f := &feed{found: found, up: found.up, cc: cc, native: b.native, wake: make(chan struct{}, 1), closed: make(chan struct{})}
	f.stop = f.up.Set().Watch(f.wake)
	if !f.up.Go(f.run) {
		f.stop()
		return nil, errClosed
	}
	return f, nil
}

// feed hands an upstream's endpoints on to one ClientConn. The upstream has one watch however many ClientConns there are.
type feed struct {
	found  *lookup
	up     *engine.Upstream
	cc     resolver.ClientConn
	native bool
	wake   chan struct{}
	closed chan struct{}
	stop   func()

	given   []given                        // what grpc-go has
	leaving map[*health.Endpoint]time.Time // of these, who has left the upstream: until when grpc-go keeps them
	late    <-chan time.Time               // when the first of them is due; nil: nobody leaves
	config  string                         // grpc-go's service config
	failed  bool                           // it was told that there is nothing to have
}

// partingTime is how long grpc-go keeps the connections of an endpoint after it has left. Nobody picks it any more, but a call
// that had picked it in that moment is still to open its stream: grpc-go closes a connection on which another stream is under
// way by draining it, and a stream that is opened in the middle of that waits until the other one ends, or for its deadline
// (http2Client.NewStream, 1.85.0: a quota that is not full, and a channel that is nil).
const partingTime = time.Second

// given is an endpoint as grpc-go was told of it.
type given struct {
	endpoint *health.Endpoint
	info     *endpoint.Endpoint
}

// same says that grpc-go need not be told again: other weights or tags are nothing to it.
func (g given) same(o given) bool {
	return g.endpoint == o.endpoint && (g.info == o.info || slices.Equal(g.info.Alternates, o.info.Alternates))
}

// ResolveNow implements resolver.Resolver. grpc-go asks when it lost a connection or could not get one; it is heard by
// discovery that polls, within its pacing, and there is one watch however many ClientConns ask.
func (f *feed) ResolveNow(resolver.ResolveNowOptions) { f.up.ResolveNow() }

// Close implements resolver.Resolver.
func (f *feed) Close() {
	f.stop()
	close(f.closed)
}

func (f *feed) run(ctx context.Context) {
	if err := f.awaitFirst(ctx); err != nil {
		f.fail(err)
	}
	for {
		f.push()
		select {
		case <-f.wake:
		case <-f.late:
		case <-f.closed:
			return
		case <-ctx.Done():
			f.cc.ReportError(errClosed) // makes the balancer build its last picker, which ends the calls that wait for one
			return
		}
	}
}

// awaitFirst waits for the first snapshot as calls do, but not longer than the ClientConn lives.
func (f *feed) awaitFirst(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-f.closed:
			cancel()
		case <-ctx.Done():
		}
	}()
	if err := f.up.Await(ctx); err != nil && ctx.Err() == nil {
		return bridge.Error(err)
	}
	return nil
}

// fail tells grpc-go that there is nothing to have, so that calls fail which do not wait for ready.
func (f *feed) fail(err error) {
	f.failed, f.given = true, nil
	f.cc.ReportError(err)
}

// push gives grpc-go the endpoints if they changed. It never gets an empty list: on an error it keeps the last one, and
// picks find nobody in it that still belongs to the upstream.
func (f *feed) push() {
	all := givenOf(f.up.Set().View().All)
	if len(all) == 0 {
		if !f.failed {
			f.fail(fmt.Errorf("%s: %w", f.up.Target(), errNoEndpoints))
		}
		return
	}
	f.failed = false
	all = append(all, f.parting(all)...)
	config := f.config
	if f.native {
		config = serviceConfig(f.up.Policy())
	}
	if slices.EqualFunc(all, f.given, given.same) && config == f.config {
		return
	}
	state := resolver.State{
		Endpoints:  endpoints(all),
		Attributes: attributes.New(lookupKey{}, f.found),
	}
	if f.native {
		state.ServiceConfig = f.parsed(config)
	}
	f.given, f.config = all, config
	_ = f.cc.UpdateState(state) // its error asks for another resolution, and the watch will bring one
}

// parting is who left the upstream not long ago and was connected then, beside all who are there: at another's address there
// is nothing to keep.
func (f *feed) parting(all []given) (list []given) {
	now, leaving, first := time.Now(), map[*health.Endpoint]time.Time{}, time.Time{}
	connected := f.found.ready.Load()
	for _, g := range f.given {
		if slices.ContainsFunc(all, func(o given) bool { return o.endpoint == g.endpoint || o.info.Addr == g.info.Addr }) {
			continue
		}
		until, ok := f.leaving[g.endpoint]
		switch {
		case ok && !now.Before(until), !ok && (connected == nil || connected.ready[g.endpoint] == nil):
			continue
		case !ok:
			until = now.Add(partingTime)
		}
		list, leaving[g.endpoint] = append(list, g), until
		if first.IsZero() || until.Before(first) {
			first = until
		}
	}
	f.leaving, f.late = leaving, nil
	if !first.IsZero() {
		f.late = time.After(first.Sub(now))
	}
	return list
}

func (f *feed) parsed(config string) *serviceconfig.ParseResult {
	return f.cc.ParseServiceConfig(config)
}

func givenOf(all []*health.Endpoint) []given {
	list := make([]given, len(all))
	for i, e := range all {
		list[i] = given{e, e.Info()}
	}
	return list
}

// endpoints carries the identity in the endpoint's attributes; in the address's a change would reconnect. An endpoint has
// all its addresses (gRFC A61): pick_first tries them in their order, and races them as RFC 8305 has it.
func endpoints(all []given) []resolver.Endpoint {
	list := make([]resolver.Endpoint, len(all))
	for i, g := range all {
		addresses := make([]resolver.Address, 0, 1+len(g.info.Alternates))
		addresses = append(addresses, resolver.Address{Addr: g.info.Addr})
		for _, a := range g.info.Alternates {
			addresses = append(addresses, resolver.Address{Addr: a})
		}
		list[i] = resolver.Endpoint{Addresses: addresses, Attributes: attributes.New(endpointKey{}, g.endpoint)}
	}
	return list
}

package grpcresolver

import (
	"context"
	"fmt"
	"slices"

	"google.golang.org/grpc/attributes"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/serviceconfig"

	"github.com/onehop-go/onehop/internal/bridge"
	"github.com/onehop-go/onehop/internal/engine"
	"github.com/onehop-go/onehop/internal/health"
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
	f := &feed{up: found.up, cc: cc, native: b.native, wake: make(chan struct{}, 1), closed: make(chan struct{})}
	f.stop = f.up.Set().Watch(f.wake)
	if !f.up.Go(f.run) {
		f.stop()
		return nil, errClosed
	}
	return f, nil
}

// feed hands an upstream's endpoints on to one ClientConn. The upstream has one watch however many ClientConns there are.
type feed struct {
	up     *engine.Upstream
	cc     resolver.ClientConn
	native bool
	wake   chan struct{}
	closed chan struct{}
	stop   func()

	given  []*health.Endpoint // what grpc-go has
	config string             // and its service config
}

// ResolveNow implements resolver.Resolver. The watch pushes: there is nothing to ask for.
func (f *feed) ResolveNow(resolver.ResolveNowOptions) {}

// Close implements resolver.Resolver.
func (f *feed) Close() {
	f.stop()
	close(f.closed)
}

func (f *feed) run(ctx context.Context) {
	if err := f.awaitFirst(ctx); err != nil {
		f.cc.ReportError(err)
	}
	for {
		f.push()
		select {
		case <-f.wake:
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

// push gives grpc-go the endpoints if they changed. It never gets an empty list: on an error it keeps the last one, and
// picks find nobody in it that still belongs to the upstream.
func (f *feed) push() {
	all := f.up.Set().View().All
	if len(all) == 0 {
		if len(f.given) > 0 {
			f.given = nil
			f.cc.ReportError(fmt.Errorf("%s: %w", f.up.Target(), errNoEndpoints))
		}
		return
	}
	config := f.config
	if f.native {
		config = serviceConfig(f.up.Policy())
	}
	if slices.Equal(all, f.given) && config == f.config {
		return
	}
	state := resolver.State{
		Endpoints:  endpoints(all),
		Attributes: attributes.New(upstreamKey{}, f.up),
	}
	if f.native {
		state.ServiceConfig = f.parsed(config)
	}
	f.given, f.config = all, config
	_ = f.cc.UpdateState(state) // its error asks for another resolution, and the watch will bring one
}

func (f *feed) parsed(config string) *serviceconfig.ParseResult {
	return f.cc.ParseServiceConfig(config)
}

// endpoints carries the identity in the endpoint's attributes; in the address's a change would reconnect.
func endpoints(all []*health.Endpoint) []resolver.Endpoint {
	list := make([]resolver.Endpoint, len(all))
	for i, e := range all {
		list[i] = resolver.Endpoint{
			Addresses:  []resolver.Address{{Addr: e.Addr()}},
			Attributes: attributes.New(endpointKey{}, e),
		}
	}
	return list
}

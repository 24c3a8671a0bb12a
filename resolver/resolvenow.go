package resolver

import "context"

type resolveNowKey struct{}

// WithResolveNow returns the context of a [Resolver.Watch] that can be asked to read anew before it would by itself: by each
// value that comes from asked. Clients watch with such a context, and ask where a connection was refused, where nobody is
// left to call, and where grpc-go asks them (its ResolveNow).
func WithResolveNow(ctx context.Context, asked <-chan struct{}) context.Context {
	return context.WithValue(ctx, resolveNowKey{}, asked)
}

// ResolveNow is the channel of [WithResolveNow]; nil: nobody will ask. It is meant for resolvers that poll: they should
// receive from it while they rest, and still keep a least time between two reads, since every client of a service that is
// down asks. [DNS] and the prepared queries of [Consul] do. A resolver that is told of changes as they happen needs none.
func ResolveNow(ctx context.Context) <-chan struct{} {
	asked, _ := ctx.Value(resolveNowKey{}).(<-chan struct{})
	return asked
}

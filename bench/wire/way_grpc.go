package wire

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"

	"github.com/onehop-go/onehop"
	"github.com/onehop-go/onehop/grpcresolver"
)

// newGRPC has grpc-go's own round_robin over addrs.
func newGRPC(addrs []string) (call, error) {
	fixed := manual.NewBuilderWithScheme("fixed")
	var s resolver.State
	for _, addr := range addrs {
		s.Endpoints = append(s.Endpoints, resolver.Endpoint{Addresses: []resolver.Address{{Addr: addr}}})
	}
	fixed.InitialState(s)
	conn, err := grpc.NewClient(fixed.Scheme()+":///"+service, grpc.WithResolvers(fixed), grpc.WithNoProxy(),
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultServiceConfig(`{"loadBalancingConfig": [{"round_robin": {}}]}`))
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) error { return invokeEcho(ctx, conn) }, nil
}

// newOnehopGRPC calls the service by its name.
func newOnehopGRPC(hop *onehop.Client) (call, error) {
	conn, err := grpcresolver.NewClient(hop, service, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) error { return invokeEcho(ctx, conn) }, nil
}

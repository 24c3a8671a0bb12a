package grpcresolver_test

import (
	"context"
	"fmt"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	pb "google.golang.org/grpc/interop/grpc_testing"

	"github.com/onehop-go/onehop"
	"github.com/onehop-go/onehop/grpcresolver"
	"github.com/onehop-go/onehop/policy"
	"github.com/onehop-go/onehop/resolver"
)

type stock struct {
	pb.UnimplementedTestServiceServer
}

func (stock) UnaryCall(context.Context, *pb.SimpleRequest) (*pb.SimpleResponse, error) {
	return &pb.SimpleResponse{Username: "reserved"}, nil
}

func ExampleNewClient() {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	server := grpc.NewServer()
	pb.RegisterTestServiceServer(server, stock{})
	go server.Serve(lis) //nolint:errcheck // ends with Stop
	defer server.Stop()

	// Without Consul, for the example; onehop.New() takes it from the environment.
	hop, err := onehop.New(
		onehop.WithResolver(resolver.Static{"inventory": {lis.Addr().String()}}),
		onehop.WithPolicies(policy.Static{}),
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer hop.Close() //nolint:errcheck // always nil

	conn, err := grpcresolver.NewClient(hop, "inventory", grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.Close() //nolint:errcheck // nothing to be done about it

	ctx := onehop.With(context.Background(), onehop.Idempotent())
	reply, err := pb.NewTestServiceClient(conn).UnaryCall(ctx, &pb.SimpleRequest{})
	fmt.Println(reply.GetUsername(), err)
	// Output: reserved <nil>
}

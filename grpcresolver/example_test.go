//nolint:errcheck,testableexamples // an example reads as a program does; the README's needs a Consul
package grpcresolver_test

import (
	"context"
	"fmt"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	pb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/onehop-go/onehop"
	"github.com/onehop-go/onehop/grpcresolver"
	"github.com/onehop-go/onehop/policy"
	"github.com/onehop-go/onehop/resolver"
)

// startInventory starts a service and a Client that finds it without Consul.
func startInventory() (hop *onehop.Client, stop func()) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	s := grpc.NewServer()
	pb.RegisterHealthServer(s, health.NewServer())
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = s.Serve(l)
	}()
	hop, err = onehop.New(
		onehop.WithResolver(resolver.Static{"inventory": {l.Addr().String()}, "empty": {}}),
		onehop.WithPolicies(policy.Static{}),
	)
	if err != nil {
		panic(err)
	}
	return hop, func() {
		_ = hop.Close()
		s.Stop()
		<-served
	}
}

// With Consul: the agent and the token come from the environment.
func Example() {
	hop, err := onehop.New()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer hop.Close()

	conn, err := grpcresolver.NewClient(hop, "inventory", grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.Close()
	answer, err := pb.NewHealthClient(conn).Check(context.Background(), &pb.HealthCheckRequest{})
	fmt.Println(answer.GetStatus(), err) // err is an *onehop.Error and a gRPC status
}

func ExampleNewClient() {
	hop, stop := startInventory()
	defer stop()

	conn, err := grpcresolver.NewClient(hop, "inventory", grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.Close()
	answer, err := pb.NewHealthClient(conn).Check(context.Background(), &pb.HealthCheckRequest{})
	fmt.Println(answer.GetStatus(), err)
	// Output: SERVING <nil>
}

// DialOptions come last, so that the interceptors before them see one call however many attempts it takes.
func ExampleDialOptions() {
	hop, stop := startInventory()
	defer stop()

	calls := 0
	count := func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		calls++
		return invoke(ctx, method, req, reply, cc, opts...)
	}
	opts := []grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithChainUnaryInterceptor(count),
	}
	conn, err := grpc.NewClient("consul:///inventory", append(opts, grpcresolver.DialOptions(hop)...)...)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.Close()
	answer, err := pb.NewHealthClient(conn).Check(context.Background(), &pb.HealthCheckRequest{})
	fmt.Println(answer.GetStatus(), err, calls)
	// Output: SERVING <nil> 1
}

// The one error is both: onehop's with its Reason, and a gRPC status.
func ExampleNewClient_errors() {
	hop, stop := startInventory()
	defer stop()

	conn, err := grpcresolver.NewClient(hop, "empty", grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.Close()
	_, err = pb.NewHealthClient(conn).Check(context.Background(), &pb.HealthCheckRequest{})
	fmt.Println(onehop.ReasonOf(err), status.Code(err))
	// Output: no_endpoints Unavailable
}

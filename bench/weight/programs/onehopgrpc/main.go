// Command onehopgrpc calls a service over gRPC through onehop.
package main

import (
	"context"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	pb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/onehop-go/onehop"
	"github.com/onehop-go/onehop/grpcresolver"
)

func main() {
	hop, err := onehop.New()
	if err != nil {
		panic(err)
	}
	conn, err := grpcresolver.NewClient(hop, "inventory", grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		panic(err)
	}
	fmt.Println(pb.NewHealthClient(conn).Check(context.Background(), &pb.HealthCheckRequest{}))
	fmt.Println(hop.Close())
}

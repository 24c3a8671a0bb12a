// Command gozerogrpc calls a service over gRPC through go-zero, whose client brings its discovery by etcd and Kubernetes.
package main

import (
	"context"
	"fmt"

	"github.com/zeromicro/go-zero/zrpc"
	pb "google.golang.org/grpc/health/grpc_health_v1"
)

func main() {
	client, err := zrpc.NewClientWithTarget("direct:///127.0.0.1:1")
	if err != nil {
		panic(err)
	}
	fmt.Println(pb.NewHealthClient(client.Conn()).Check(context.Background(), &pb.HealthCheckRequest{}))
}

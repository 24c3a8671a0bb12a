// Command kratosgrpc calls a service over gRPC through kratos with p2c and a breaker; its Consul registry is a module apart
// and not in it.
package main

import (
	"context"
	"fmt"

	"github.com/go-kratos/kratos/v2/middleware/circuitbreaker"
	"github.com/go-kratos/kratos/v2/selector"
	"github.com/go-kratos/kratos/v2/selector/p2c"
	kratos "github.com/go-kratos/kratos/v2/transport/grpc"
	pb "google.golang.org/grpc/health/grpc_health_v1"
)

func main() {
	selector.SetGlobalSelector(p2c.NewBuilder())
	ctx := context.Background()
	conn, err := kratos.DialInsecure(ctx, kratos.WithEndpoint("127.0.0.1:1"), kratos.WithMiddleware(circuitbreaker.Client()))
	if err != nil {
		panic(err)
	}
	fmt.Println(pb.NewHealthClient(conn).Check(ctx, &pb.HealthCheckRequest{}))
}

// Command failsafegrpc calls a service over gRPC through failsafe-go: retry, breaker, timeout. It discovers nothing.
package main

import (
	"context"
	"fmt"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/failsafe-go/failsafe-go/failsafegrpc"
	"github.com/failsafe-go/failsafe-go/timeout"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	pb "google.golang.org/grpc/health/grpc_health_v1"
)

func main() {
	conn, err := grpc.NewClient("dns:///localhost:1", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithUnaryInterceptor(failsafegrpc.NewUnaryClientInterceptor(
			failsafegrpc.NewRetryPolicyBuilder[*pb.HealthCheckResponse]().Build(),
			circuitbreaker.NewWithDefaults[*pb.HealthCheckResponse](), timeout.New[*pb.HealthCheckResponse](time.Second))))
	if err != nil {
		panic(err)
	}
	fmt.Println(pb.NewHealthClient(conn).Check(context.Background(), &pb.HealthCheckRequest{}))
}

// Grpc calls a gRPC service by its name in Consul, three times: its standard health method.
//
//	CONSUL_HTTP_ADDR=127.0.0.1:8500 go run ./examples/grpc inventory
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/onehop-go/onehop"
	"github.com/onehop-go/onehop/grpcresolver"
)

func main() {
	if err := run(context.Background(), os.Args[1], os.Stdout); err != nil {
		log.Fatal(err) // says what was tried: which instances, and what each answered
	}
}

func run(ctx context.Context, service string, out io.Writer) error {
	hop, err := onehop.New() // reads CONSUL_HTTP_ADDR, CONSUL_HTTP_TOKEN, ... and does no I/O yet
	if err != nil {
		return err
	}
	defer hop.Close() //nolint:errcheck // the program ends
	conn, err := grpcresolver.NewClient(hop, service, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // as above
	for range 3 {
		answer, err := grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{})
		if err != nil {
			return err
		}
		fmt.Fprintln(out, answer.GetStatus())
	}
	return nil
}

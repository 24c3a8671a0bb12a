// Connect calls a Connect service (connectrpc.com) over httpclient: HTTP/2, a unary call and a stream, with trailers. It
// is the server, too, so that it runs without Consul:
//
//	go run . serve 127.0.0.1:8081 &
//	go run . serve 127.0.0.1:8082 &
//	go run . call 127.0.0.1:8081 127.0.0.1:8082
//
// Without addresses, call finds the service "inventory" in Consul: CONSUL_HTTP_ADDR=127.0.0.1:8500 go run . call
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"

	"connectrpc.com/connect"

	"github.com/onehop-go/onehop"
	"github.com/onehop-go/onehop/policy"
	"github.com/onehop-go/onehop/resolver"
)

func main() {
	if err := run(context.Background(), os.Args[1:], os.Stdout); err != nil {
		log.Fatal(err) // says what was tried: which instances, and what each answered
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	switch addrs := args[min(1, len(args)):]; {
	case len(addrs) == 1 && args[0] == "serve":
		return serve(ctx, addrs[0])
	case len(args) > 0 && args[0] == "call":
		return call(ctx, addrs, out)
	}
	return errors.New("usage: connect serve ADDRESS | connect call [ADDRESS...]")
}

func call(ctx context.Context, addrs []string, out io.Writer) error {
	var opts []onehop.Option
	if len(addrs) > 0 {
		opts = static(addrs)
	}
	hop, err := onehop.New(opts...)
	if err != nil {
		return err
	}
	defer hop.Close() //nolint:errcheck // the program ends
	for _, p := range protocols {
		c := newClient(hop, p.options...)
		stock, err := c.stock(ctx, "anvil")
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%s: %s, says %s over %s\n", p.name, stock.values[0], stock.server, stock.protocol)
		items, err := c.list(ctx, "anvil")
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%s: %q, says %s over %s\n", p.name, items.values, items.server, items.protocol)
	}
	return nil
}

// static is a hop without Consul.
func static(addrs []string) []onehop.Option {
	return []onehop.Option{onehop.WithResolver(resolver.Static{service: addrs}), onehop.WithPolicies(policy.Static{})}
}

// protocols are what a Connect client can speak. In Connect's own an error is an HTTP status, which the policy's retries
// and the health of the endpoints see; in gRPC's it travels in the trailers of a 200, where an HTTP client sees only
// broken connections. For gRPC servers grpcresolver is the better choice.
var protocols = []struct {
	name    string
	options []connect.ClientOption
}{
	{"Connect", []connect.ClientOption{connect.WithHTTPGet()}}, // what has no side effects goes by GET
	{"gRPC", []connect.ClientOption{connect.WithGRPC()}},
}

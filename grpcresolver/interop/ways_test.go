package interop

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"

	"github.com/onehop-go/onehop"
	"github.com/onehop-go/onehop/grpcresolver"
	"github.com/onehop-go/onehop/policy"
	onehopresolver "github.com/onehop-go/onehop/resolver"
)

// service is the name under which onehop knows the servers.
const service = "inventory"

// way is how a program comes to its ClientConn.
type way struct {
	name string
	dial func(t *testing.T, addrs []string, opts ...grpc.DialOption) *grpc.ClientConn
}

// ways are grpc-go alone, which shows that a case is right, and all that onehop offers.
var ways = []way{
	{"grpc-go round_robin", dialPlain},
	{"NewClient", func(t *testing.T, addrs []string, opts ...grpc.DialOption) *grpc.ClientConn {
		t.Helper()
		return newClient(t, policy.Default(), addrs, opts...)
	}},
	{"NewClient, all that a policy has", func(t *testing.T, addrs []string, opts ...grpc.DialOption) *grpc.ClientConn {
		t.Helper()
		return newClient(t, everything(), addrs, opts...)
	}},
	{"DialOptions", func(t *testing.T, addrs []string, opts ...grpc.DialOption) *grpc.ClientConn {
		t.Helper()
		opts = append(opts, grpcresolver.DialOptions(newHop(t, policy.Default(), addrs))...)
		return connect(t, "consul:///"+service, opts...)
	}},
	{"scheme only", func(t *testing.T, addrs []string, opts ...grpc.DialOption) *grpc.ClientConn {
		t.Helper()
		return schemeOnly(t, policy.Default(), addrs, opts...)
	}},
	{"scheme only, all that a policy has", func(t *testing.T, addrs []string, opts ...grpc.DialOption) *grpc.ClientConn {
		t.Helper()
		return schemeOnly(t, everything(), addrs, opts...)
	}},
}

// everything is a policy by which every call may be executed twice, and runs against a clock. So streams are held until
// their response headers, and unary calls are hedged.
func everything() policy.Policy {
	p := policy.Default()
	p.Timeout, p.AttemptTimeout, p.IdleTimeout = 20*time.Second, 10*time.Second, 10*time.Second
	p.Hedge = 0.05
	p.Routes = []policy.Route{{
		Name: "all", Match: policy.Match{GRPC: "grpc.testing.TestService/*"}, Idempotent: true, Settings: p.Settings,
	}}
	return p
}

func newHop(t *testing.T, p policy.Policy, addrs []string, opts ...onehop.Option) *onehop.Client {
	t.Helper()
	hop, err := onehop.New(append([]onehop.Option{
		onehop.WithResolver(onehopresolver.Static{service: addrs}), onehop.WithPolicies(policy.Static{service: p}),
		onehop.WithCacheDir(""), onehop.WithLogger(slog.New(slog.DiscardHandler)),
	}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := hop.Close(); err != nil {
			t.Error(err)
		}
	})
	return hop
}

func newClient(t *testing.T, p policy.Policy, addrs []string, opts ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	conn, err := grpcresolver.NewClient(newHop(t, p, addrs), service, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func schemeOnly(t *testing.T, p policy.Policy, addrs []string, opts ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	return connect(t, "consul:///"+service, append(opts, grpc.WithResolvers(grpcresolver.NewBuilder(newHop(t, p, addrs))))...)
}

// roundRobin is what a program without onehop would balance with.
const roundRobin = `{"loadBalancingConfig":[{"round_robin":{}}]}`

func dialPlain(t *testing.T, addrs []string, opts ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	return dialNative(t, roundRobin, addrs, opts...)
}

// dialNative is grpc-go alone with a service config, and a resolver that knows the addresses. The target is the same, since metrics tell it.
func dialNative(t *testing.T, config string, addrs []string, opts ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	r := manual.NewBuilderWithScheme(grpcresolver.Scheme)
	var list []resolver.Endpoint
	for _, a := range addrs {
		list = append(list, resolver.Endpoint{Addresses: []resolver.Address{{Addr: a}}})
	}
	r.InitialState(resolver.State{Endpoints: list})
	return connect(t, "consul:///"+service, append(opts, grpc.WithResolvers(r), grpc.WithDefaultServiceConfig(config))...)
}

func connect(t *testing.T, target string, opts ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(target, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// tlsCreds trusts the certificate authority of grpc-go's test certificates, under the name that they are for.
func tlsCreds(t *testing.T, ca string) credentials.TransportCredentials {
	t.Helper()
	creds, err := credentials.NewClientTLSFromFile(ca, "x.test.google.fr")
	if err != nil {
		t.Fatal(err)
	}
	return creds
}

// counter is the caller's own interceptors: they see each call once, however many attempts it takes.
type counter struct{ unary, streams atomic.Int64 }

func (c *counter) options() []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithChainUnaryInterceptor(func(
			ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, next grpc.UnaryInvoker, opts ...grpc.CallOption,
		) error {
			c.unary.Add(1)
			return next(ctx, method, req, reply, cc, opts...)
		}),
		grpc.WithChainStreamInterceptor(func(
			ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, next grpc.Streamer, opts ...grpc.CallOption,
		) (grpc.ClientStream, error) {
			c.streams.Add(1)
			return next(ctx, desc, cc, method, opts...)
		}),
	}
}

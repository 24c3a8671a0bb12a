package grpcresolver

import (
	"fmt"

	"google.golang.org/grpc"
	grpcresolver "google.golang.org/grpc/resolver"

	"github.com/onehop-go/onehop"
	"github.com/onehop-go/onehop/resolver"
)

// Scheme is that of the targets: "consul:///inventory?tag=v2&dc=dc2".
const Scheme = "consul"

// NewClient is grpc.NewClient for a service. target has the grammar of resolver.ParseTarget: "inventory",
// "v2.inventory.service.dc2.consul", "consul:///inventory?tag=v2". An authority in it must be empty or the address of
// hop's own Consul agent. TLS verifies the name of the service, "inventory"; grpc.WithAuthority sets another.
//
// opts win over onehop's dialer and connection backoff; interceptors among them see one call however many attempts it
// takes. A default service config among them is not used: it would choose another balancer, and its timeouts and retries
// are the policy's to say ([HealthCheck] is an option of its own). Without transport credentials among them
// grpc.NewClient fails, as ever.
func NewClient(hop *onehop.Client, target string, opts ...grpc.DialOption) (*grpc.ClientConn, error) {
	t, err := parse(hop, target)
	if err != nil {
		return nil, fmt.Errorf("grpcresolver: %w", err)
	}
	l := newLink(hop)
	all := append(l.connecting(), opts...)
	all = append(all, serviceConfigOf(opts))
	return grpc.NewClient(t.String(), append(all, l.calling()...)...)
}

// DialOptions make a ClientConn of grpc.NewClient onehop's where its target's scheme is [Scheme]; with other targets
// calls pass through untouched, without retries of grpc-go. Append them last, so that their interceptors are the innermost:
//
//	grpc.NewClient("consul:///inventory", append(opts, grpcresolver.DialOptions(hop)...)...)
//
// They replace a dialer given before them; one given after them (grpc.WithContextDialer) wins, but then
// [onehop.Client.Close] cannot break the calls in flight on its connections. A default service config and
// grpc.WithDisableRetry are part of them: do not override these.
func DialOptions(hop *onehop.Client) []grpc.DialOption {
	l := newLink(hop)
	return append(l.connecting(), l.calling()...)
}

// NewBuilder is for grpc.WithResolvers where no interceptor can be had: the scheme-only mode. Endpoints, health and
// balancing are the upstream's; the policy is translated to grpc-go's service config, anew at each real change:
//
//   - retry (attempts, backoff, conditions that have a gRPC code) of the methods that are known to be idempotent: by the
//     idempotency_level of a linked proto, or by a route that names them;
//   - the budget as retryThrottling;
//   - timeout of methods that a linked proto knows to be unary, never of others: it would cut a stream.
//
// What service config cannot say is not done: connect_timeout, attempt_timeout, hedge, limits, the brake, exclusion of tried endpoints, retries
// of what was not sent for methods not known to be idempotent (but for grpc-go's transparent retry); of what [onehop.With] says only
// the hash key is heard. grpc-go refills its
// throttle at each update, so that amplification is not bounded while endpoints churn. Do not combine it with
// [DialOptions], which need no Register.
func NewBuilder(hop *onehop.Client) grpcresolver.Builder {
	return &builder{link: newLink(hop), native: true}
}

// Register makes [Scheme] the process's, by NewBuilder. Call it from init or main, before any dial: grpc-go's registry
// is not safe for concurrent use.
func Register(hop *onehop.Client) { grpcresolver.Register(NewBuilder(hop)) }

// parse reads a target and holds its authority against the agent of hop.
func parse(hop any, target string) (resolver.Target, error) {
	t, err := resolver.ParseTarget(target)
	if err != nil {
		return t, err
	}
	return t, checkAgent(hop, target)
}

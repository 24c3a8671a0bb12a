package grpcresolver

import (
	"encoding/json"

	"google.golang.org/grpc"
	_ "google.golang.org/grpc/health" // the client half of grpc.health.v1: without it grpc-go ignores healthCheckConfig
)

// HealthCheck makes a ClientConn watch grpc.health.v1 on each of its connections: an endpoint that does not say SERVING
// for service ("" is the whole server) gets no calls; one that does not offer health checking counts as serving. Consul's
// own checks do not need it: it is for what only the connection can see, and costs a stream for each.
//
// Give it to [NewClient], or after [DialOptions]. It takes the place of grpc.WithDefaultServiceConfig.
func HealthCheck(service string) grpc.DialOption {
	config, err := json.Marshal(map[string]any{
		"loadBalancingConfig": []any{map[string]any{balancerName: struct{}{}}},
		"healthCheckConfig":   map[string]string{"serviceName": service},
	})
	if err != nil { // strings always marshal
		return grpc.EmptyDialOption{}
	}
	return healthCheck{grpc.WithDefaultServiceConfig(string(config))}
}

// healthCheck can be told from other options.
type healthCheck struct{ grpc.DialOption }

// serviceConfigOf is the default service config that a caller's options ask for, ours: what they set otherwise would
// choose another balancer.
func serviceConfigOf(opts []grpc.DialOption) grpc.DialOption {
	config := grpc.WithDefaultServiceConfig(defaultConfig)
	for _, o := range opts {
		if check, ok := o.(healthCheck); ok {
			config = check
		}
	}
	return config
}

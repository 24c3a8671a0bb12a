// Package onehop calls services directly, with HashiCorp Consul as the control plane and no proxy in between.
//
// A Client finds the instances of a service in Consul, holds the resilience policy that operators keep in Consul KV, and
// sends each call straight to an instance it chose: one hop. Retries, timeouts, circuit breaking and load balancing
// happen in this process, which knows what no proxy can: whether a call may be repeated, how much time its caller has
// left, and which errors are the application's own.
//
//	hop, err := onehop.New() // CONSUL_HTTP_ADDR, CONSUL_HTTP_TOKEN, ... like every Consul tool
//	defer hop.Close()
//
// Package httpclient makes an *http.Client of it and package grpcresolver a *grpc.ClientConn. Do runs any other protocol
// through the same engine, and DialContext serves whatever takes a dialer. All of them share one Upstream per target,
// and with it endpoints, health, retry budget and policy.
//
// When Consul is away, the last known instances and policy stay in force, from memory and, at start, from disk.
package onehop

package peers

import (
	"context"
	"fmt"
	"net"

	"google.golang.org/grpc"
	_ "google.golang.org/grpc/balancer/weightedroundrobin" // registers its balancer
	"google.golang.org/grpc/credentials/insecure"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
	"google.golang.org/grpc/test/bufconn"

	"github.com/onehop-go/onehop/grpcresolver"
	"github.com/onehop-go/onehop/policy"
)

// Names of the gRPC candidates beside onehop's.
const (
	roundRobin         = "round_robin"
	roundRobinDeadline = "round_robin, a context's deadline"
	weightedRoundRobin = "weighted_round_robin"
	nativeRetry        = "round_robin, grpc-go's retry"
	kratosGRPC         = "kratos: p2c, breaker, timeout"
	goZeroGRPC         = "go-zero zrpc: p2c, breaker, timeout, traces, counts"
)

const (
	roundRobinConfig         = `{"loadBalancingConfig": [{"round_robin": {}}]}`
	weightedRoundRobinConfig = `{"loadBalancingConfig": [{"weighted_round_robin": {}}]}`
	nativeRetryConfig        = `{"loadBalancingConfig": [{"round_robin": {}}], "methodConfig": [{"name": [{}], "retryPolicy":
		{"maxAttempts": 3, "initialBackoff": "0.025s", "maxBackoff": "1s", "backoffMultiplier": 2, "retryableStatusCodes": ["UNAVAILABLE"]}}],
		"retryThrottling": {"maxTokens": 100, "tokenRatio": 0.1}}`
)

// overGRPC are the candidates for a unary call, plain round_robin first, and the end of the servers they call.
func overGRPC() (group, func(), error) {
	s := startServers()
	plain := func(name, config string, way func(string, *grpc.ClientConn) Candidate) func() (Candidate, error) {
		return func() (Candidate, error) {
			conn, err := s.conn(config)
			return way(name, conn), err
		}
	}
	g, err := build([]func() (Candidate, error){
		plain(roundRobin, roundRobinConfig, over),
		plain(roundRobinDeadline, roundRobinConfig, underDeadline),
		plain(weightedRoundRobin, weightedRoundRobinConfig, over),
		plain(nativeRetry, nativeRetryConfig, over),
		func() (Candidate, error) { return s.ours(hopDefault, nil) },
		func() (Candidate, error) { return s.ours(hopTimeouts, bothTimeouts) },
		s.failsafe, s.kratos, s.goZero,
	})
	if err != nil {
		s.stop()
	}
	return g, s.stop, err
}

// servers answer over in-memory connections: what is measured is grpc-go and the candidate, not the kernel.
type servers struct {
	listeners map[string]*bufconn.Listener
	running   []*grpc.Server
}

func startServers() *servers {
	s := &servers{listeners: map[string]*bufconn.Listener{}}
	for _, addr := range instances {
		l, server := bufconn.Listen(1<<20), grpc.NewServer()
		pb.RegisterTestServiceServer(server, echo{})
		s.listeners[addr], s.running = l, append(s.running, server)
		go server.Serve(l) //nolint:errcheck // ends by Stop
	}
	return s
}

func (s *servers) stop() {
	for _, server := range s.running {
		server.Stop()
	}
}

func (s *servers) dialer() grpc.DialOption {
	return grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
		l := s.listeners[addr]
		if l == nil {
			return nil, fmt.Errorf("no server at %q", addr)
		}
		return l.DialContext(ctx)
	})
}

type echo struct {
	pb.UnimplementedTestServiceServer
}

func (echo) UnaryCall(_ context.Context, r *pb.SimpleRequest) (*pb.SimpleResponse, error) {
	return &pb.SimpleResponse{Payload: r.GetPayload()}, nil
}

// over is a candidate that calls over conn.
func over(name string, conn *grpc.ClientConn) Candidate {
	client := pb.NewTestServiceClient(conn)
	return Candidate{Name: name, Close: conn.Close, Caller: func() func() error {
		r := payload()
		return func() error { return unary(context.Background(), client, r) }
	}}
}

// underDeadline calls as over does, each call under a context of its own.
func underDeadline(name string, conn *grpc.ClientConn) Candidate {
	client := pb.NewTestServiceClient(conn)
	return Candidate{Name: name, Close: conn.Close, Caller: func() func() error {
		r := payload()
		return func() error {
			ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
			defer cancel()
			return unary(ctx, client, r)
		}
	}}
}

func payload() *pb.SimpleRequest {
	return &pb.SimpleRequest{Payload: &pb.Payload{Body: make([]byte, 100)}}
}

func unary(ctx context.Context, client pb.TestServiceClient, r *pb.SimpleRequest) error {
	reply, err := client.UnaryCall(ctx, r)
	if err == nil && len(reply.GetPayload().GetBody()) != len(r.GetPayload().GetBody()) {
		err = fmt.Errorf("%d bytes came back", len(reply.GetPayload().GetBody()))
	}
	return err
}

func (s *servers) conn(config string, opts ...grpc.DialOption) (*grpc.ClientConn, error) {
	r := manual.NewBuilderWithScheme("bench")
	var state resolver.State
	for _, addr := range instances {
		state.Endpoints = append(state.Endpoints, resolver.Endpoint{Addresses: []resolver.Address{{Addr: addr}}})
	}
	r.InitialState(state)
	return grpc.NewClient("bench:///"+service, append(opts, grpc.WithResolvers(r), s.dialer(),
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultServiceConfig(config))...)
}

func (s *servers) ours(name string, change func(*policy.Policy)) (Candidate, error) {
	hop, err := newHop(change)
	if err != nil {
		return Candidate{}, err
	}
	conn, err := grpcresolver.NewClient(hop, service, s.dialer(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return Candidate{}, closing(err, hop.Close)
	}
	c := over(name, conn)
	c.Ours, c.Close = true, func() error { return closing(conn.Close(), hop.Close) }
	return c, nil
}

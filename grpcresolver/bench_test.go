package grpcresolver

import (
	"context"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
	"google.golang.org/grpc/test/bufconn"

	"github.com/onehop-go/onehop"
	"github.com/onehop-go/onehop/policy"
)

// benchServers answer over in-memory connections: what is measured is grpc-go and onehop, not the kernel.
func benchServers(b *testing.B, n int) (addrs []string, dialer grpc.DialOption) {
	b.Helper()
	listeners := map[string]*bufconn.Listener{}
	for i := range n {
		addr := net.JoinHostPort("10.0.0.1", string(rune('1'+i)))
		l := bufconn.Listen(1 << 20)
		listeners[addr] = l
		addrs = append(addrs, addr)
		s := grpc.NewServer()
		pb.RegisterTestServiceServer(s, &server{ledger: &executions{}})
		go func() { _ = s.Serve(l) }()
		b.Cleanup(s.Stop)
	}
	return addrs, grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
		return listeners[addr].DialContext(ctx)
	})
}

func plainConn(b *testing.B, addrs []string, dialer grpc.DialOption) *grpc.ClientConn {
	b.Helper()
	r := manual.NewBuilderWithScheme("bench")
	var list []resolver.Endpoint
	for _, a := range addrs {
		list = append(list, resolver.Endpoint{Addresses: []resolver.Address{{Addr: a}}})
	}
	r.InitialState(resolver.State{Endpoints: list})
	conn, err := grpc.NewClient("bench:///inventory", grpc.WithResolvers(r), dialer,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig":[{"round_robin":{}}]}`))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close() })
	return conn
}

func onehopConn(b *testing.B, addrs []string, dialer grpc.DialOption) *grpc.ClientConn {
	b.Helper()
	s := &scripted{}
	s.set(addrs...)
	hop, err := onehop.New(onehop.WithResolver(s), onehop.WithPolicies(policy.Static{}))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = hop.Close() })
	conn, err := NewClient(hop, "inventory", dialer, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close() })
	return conn
}

// BenchmarkUnary compares plain grpc-go round_robin with onehop's default policy, both under the same caller's deadline.
// cpu-ns/op is the process's CPU by getrusage; wall time is noise on a busy machine. "plain2" is the baseline against
// itself: what differs there is noise.
func BenchmarkUnary(b *testing.B) {
	addrs, dialer := benchServers(b, 3)
	for _, c := range []struct {
		name string
		conn func(*testing.B, []string, grpc.DialOption) *grpc.ClientConn
		opts []onehop.CallOption
	}{
		{"plain", plainConn, nil},
		{"plain2", plainConn, nil},
		{"onehop", onehopConn, nil},
		{"onehop-idempotent", onehopConn, []onehop.CallOption{onehop.Idempotent()}},
	} {
		b.Run(c.name, func(b *testing.B) {
			client := pb.NewTestServiceClient(c.conn(b, addrs, dialer))
			base := b.Context()
			if c.opts != nil {
				base = onehop.With(base, c.opts...)
			}
			req := &pb.SimpleRequest{Payload: &pb.Payload{Body: make([]byte, 100)}}
			one := func() {
				ctx, cancel := context.WithTimeout(base, time.Minute)
				defer cancel()
				if _, err := client.UnaryCall(ctx, req); err != nil {
					b.Fatal(err)
				}
			}
			for range 1000 {
				one()
			}
			b.ReportAllocs()
			start := cpu()
			for b.Loop() {
				one()
			}
			b.ReportMetric(float64(cpu()-start)/float64(b.N), "cpu-ns/op")
		})
	}
}

// BenchmarkParallel is the throughput end to end over TCP at 1, 16 and 64 callers.
func BenchmarkParallel(b *testing.B) {
	var addrs []string
	for range 3 {
		lis, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		s := grpc.NewServer()
		pb.RegisterTestServiceServer(s, &server{ledger: &executions{}})
		go func() { _ = s.Serve(lis) }()
		b.Cleanup(s.Stop)
		addrs = append(addrs, lis.Addr().String())
	}
	for _, callers := range []int{1, 16, 64} {
		for _, way := range []string{"plain", "plain2", "onehop"} {
			b.Run(way+"/"+strconv.Itoa(callers), func(b *testing.B) {
				dial := plainConn
				if way == "onehop" {
					dial = onehopConn
				}
				client := pb.NewTestServiceClient(dial(b, addrs, grpc.EmptyDialOption{}))
				parallel(b, client, callers, 1000)
				b.ResetTimer()
				start := cpu()
				parallel(b, client, callers, b.N)
				b.ReportMetric(float64(cpu()-start)/float64(b.N), "cpu-ns/op")
			})
		}
	}
}

// parallel makes n calls by so many callers.
func parallel(b *testing.B, client pb.TestServiceClient, callers, n int) {
	b.Helper()
	var wg sync.WaitGroup
	var left atomic.Int64
	left.Store(int64(n))
	req := &pb.SimpleRequest{Payload: &pb.Payload{Body: make([]byte, 100)}}
	for range callers {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
				if _, err := client.UnaryCall(ctx, req); err != nil {
					b.Error(err)
				}
				cancel()
			}
		})
	}
	wg.Wait()
}

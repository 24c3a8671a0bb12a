package grpcresolver

import (
	"context"
	"net"
	"runtime"
	"slices"
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
		pb.RegisterTestServiceServer(s, answering{})
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

func onehopConn(b *testing.B, p policy.Policy, addrs []string, dialer grpc.DialOption) *grpc.ClientConn {
	b.Helper()
	s := &scripted{}
	s.set(addrs...)
	hop, err := onehop.New(onehop.WithResolver(s), onehop.WithPolicies(policy.Static{"inventory": p}))
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

// rounds of a comparison: every way takes its turn in each, another first each time, so that what disturbs the machine
// disturbs all alike. A round's figures are set against plain's of the same round, and the medians are told: this machine
// is a tenth faster or slower from one second to the next.
const (
	rounds        = 100
	callsPerRound = 1000
)

// BenchmarkAgainstRoundRobin is onehop's default policy against plain grpc-go round_robin with the same deadline: end to
// end over TCP at 1, 16 and 64 callers, and in memory, without the kernel. "plain2" is the baseline against itself: what
// differs there is noise. "in turns" is onehop with plain's order of endpoints: the default choice prefers the endpoint that
// answers first, which saves some CPU. CPU is the whole process's, servers included, by getrusage.
func BenchmarkAgainstRoundRobin(b *testing.B) {
	b.Run("memory/callers=1", func(b *testing.B) {
		addrs, dialer := benchServers(b, 3)
		against(b, addrs, dialer, 1)
	})
	for _, callers := range []int{1, 16, 64} {
		b.Run("tcp/callers="+strconv.Itoa(callers), func(b *testing.B) {
			against(b, tcpServers(b, 3), grpc.EmptyDialOption{}, callers)
		})
	}
}

func against(b *testing.B, addrs []string, dialer grpc.DialOption, callers int) {
	b.Helper()
	turns := policy.Default()
	turns.LoadBalancing.Algorithm = policy.RoundRobin
	ways := []*measured{
		{name: "plain", client: pb.NewTestServiceClient(plainConn(b, addrs, dialer))},
		{name: "plain2", client: pb.NewTestServiceClient(plainConn(b, addrs, dialer))},
		{name: "onehop", client: pb.NewTestServiceClient(onehopConn(b, policy.Default(), addrs, dialer))},
		{name: "in-turns", client: pb.NewTestServiceClient(onehopConn(b, turns, addrs, dialer))},
	}
	for _, w := range ways {
		parallel(b, w.client, callers, 1000)
	}
	for b.Loop() {
		for r := range rounds {
			for i := range ways {
				ways[(i+r)%len(ways)].round(b, callers)
			}
		}
	}
	compare(b, ways)
}

// measured is one way of calling, and what its rounds took for each call.
type measured struct {
	name              string
	client            pb.TestServiceClient
	cpu, wall, allocs []float64
}

func (m *measured) round(b *testing.B, callers int) {
	b.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	begun, used := time.Now(), cpu()
	parallel(b, m.client, callers, callsPerRound)
	m.cpu = append(m.cpu, float64(cpu()-used)/callsPerRound)
	m.wall = append(m.wall, float64(time.Since(begun))/callsPerRound)
	runtime.ReadMemStats(&after)
	m.allocs = append(m.allocs, float64(after.Mallocs-before.Mallocs)/callsPerRound)
}

// compare gives each way's figures as shares of the first one's.
func compare(b *testing.B, ways []*measured) {
	b.Helper()
	plain := ways[0]
	b.ReportMetric(0, "ns/op") // a benchmark's operation here is all rounds
	b.ReportMetric(median(plain.cpu), "plain-cpu-ns/call")
	for _, w := range ways[1:] {
		b.ReportMetric(median(shares(w.cpu, plain.cpu)), w.name+"-cpu")
		b.ReportMetric(median(shares(plain.wall, w.wall)), w.name+"-throughput")
		b.ReportMetric(median(w.allocs)-median(plain.allocs), w.name+"-more-allocs")
	}
}

// shares are a's figures over those of b, round by round.
func shares(a, b []float64) []float64 {
	list := make([]float64, len(a))
	for i := range a {
		list[i] = a[i] / b[i]
	}
	return list
}

func median(list []float64) float64 {
	sorted := slices.Sorted(slices.Values(list))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

func tcpServers(b *testing.B, n int) (addrs []string) {
	b.Helper()
	for range n {
		lis, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		s := grpc.NewServer()
		pb.RegisterTestServiceServer(s, answering{})
		go func() { _ = s.Serve(lis) }()
		b.Cleanup(s.Stop)
		addrs = append(addrs, lis.Addr().String())
	}
	return addrs
}

// answering is the least that a server can do.
type answering struct {
	pb.UnimplementedTestServiceServer
}

func (answering) UnaryCall(_ context.Context, in *pb.SimpleRequest) (*pb.SimpleResponse, error) {
	return &pb.SimpleResponse{Payload: in.GetPayload()}, nil
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

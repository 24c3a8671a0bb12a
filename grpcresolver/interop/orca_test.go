package interop

import (
	"context"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/interop"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/orca"
	"google.golang.org/grpc/test/bufconn"

	"github.com/onehop-go/onehop/policy"
)

// reporting is grpc-go's interop server which says by google.golang.org/grpc/orca, with each call, how busy it is.
type reporting struct {
	pb.TestServiceServer
	name string
	load func(orca.CallMetricsRecorder)
}

// UnaryCall says who answers.
func (r reporting) UnaryCall(ctx context.Context, _ *pb.SimpleRequest) (*pb.SimpleResponse, error) {
	r.load(orca.CallMetricsRecorderFromContext(ctx))
	return &pb.SimpleResponse{ServerId: r.name}, nil
}

// StreamingOutputCall reports like UnaryCall.
func (r reporting) StreamingOutputCall(in *pb.StreamingOutputCallRequest, s grpc.ServerStreamingServer[pb.StreamingOutputCallResponse]) error {
	r.load(orca.CallMetricsRecorderFromContext(s.Context()))
	return r.TestServiceServer.StreamingOutputCall(in, s)
}

// startReporting starts servers in memory, each at the address that is its name.
func startReporting(t *testing.T, loads map[string]func(orca.CallMetricsRecorder)) grpc.DialOption {
	t.Helper()
	listeners := map[string]*bufconn.Listener{}
	for addr, load := range loads {
		l := bufconn.Listen(1 << 16)
		listeners[addr] = l
		s := grpc.NewServer(orca.CallMetricsServerOption(nil))
		pb.RegisterTestServiceServer(s, reporting{interop.NewTestServer(), addr, load})
		go func() { _ = s.Serve(l) }()
		t.Cleanup(s.Stop)
	}
	return grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) { return listeners[addr].DialContext(ctx) })
}

// What servers report by grpc-go's own package becomes their weights, with the loop and without: of two that serve as many
// calls, the one with a quarter of its capacity in use can take three times as many as the one with three quarters. In virtual
// time: reports count after 10 s.
func TestReportsOfGRPCsOwnORCABecomeWeights(t *testing.T) {
	const idle, busy = "10.0.0.1:80", "10.0.0.2:80"
	loads := map[string]func(orca.CallMetricsRecorder){
		idle: func(r orca.CallMetricsRecorder) { r.SetQPS(100); r.SetCPUUtilization(.25) },
		busy: func(r orca.CallMetricsRecorder) {
			r.SetQPS(100)
			r.SetCPUUtilization(.1)
			r.SetApplicationUtilization(.75)
		},
	}
	p := policy.Default()
	p.LoadBalancing.Algorithm = policy.RoundRobin
	for name, dial := range map[string]func(*testing.T, policy.Policy, []string, ...grpc.DialOption) *grpc.ClientConn{
		"NewClient": newClient, "scheme only": schemeOnly,
	} {
		for kind, report := range map[string]func(context.Context, pb.TestServiceClient) error{"unary": unaryCall(0), "server stream": serverStream} {
			t.Run(name+"/"+kind, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					cc := dial(t, p, []string{idle, busy}, startReporting(t, loads), grpc.WithTransportCredentials(insecure.NewCredentials()))
					cc.Connect()
					synctest.Wait() // both connections stand
					client := pb.NewTestServiceClient(cc)
					for range 150 {
						if err := report(t.Context(), client); err != nil {
							t.Fatal(err)
						}
						time.Sleep(100 * time.Millisecond)
					}
					answers := map[string]int{}
					for range 200 {
						r, err := client.UnaryCall(t.Context(), &pb.SimpleRequest{})
						if err != nil {
							t.Fatal(err)
						}
						answers[r.GetServerId()]++
					}
					if answers[idle] != 150 || answers[busy] != 50 {
						t.Errorf("%v of 200 calls; want 150 and 50", answers)
					}
				})
			})
		}
	}
}

package interop

import (
	"context"
	"net"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/interop"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"
)

// compressing is grpc-go's interop server with what the cases of compression ask of one, and grpc-go's own has not.
type compressing struct{ pb.TestServiceServer }

// UnaryCall refuses a request that is not as it says it is, and compresses the answer where it is asked to.
func (s compressing) UnaryCall(ctx context.Context, in *pb.SimpleRequest) (*pb.SimpleResponse, error) {
	if want := in.GetExpectCompressed(); want != nil && want.GetValue() != flagOf(ctx).get() {
		return nil, status.Error(codes.InvalidArgument, "the request's flag is not what was to be expected")
	}
	if in.GetResponseCompressed().GetValue() {
		if err := grpc.SetSendCompressor(ctx, gzip.Name); err != nil {
			return nil, err
		}
	}
	return s.TestServiceServer.UnaryCall(ctx, in)
}

// flag is whether the last message that came in was compressed.
type flag struct {
	mu  sync.Mutex
	set bool
}

func (f *flag) get() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.set
}

type flagKey struct{}

func flagOf(ctx context.Context) *flag {
	f, _ := ctx.Value(flagKey{}).(*flag)
	return f
}

// flags gives each call a flag. It is a stats handler of either side: only there is the compression of a message seen.
type flags struct{}

// TagRPC implements stats.Handler. A client brings the flag along.
func (flags) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context {
	if flagOf(ctx) != nil {
		return ctx
	}
	return context.WithValue(ctx, flagKey{}, &flag{})
}

// HandleRPC implements stats.Handler.
func (flags) HandleRPC(ctx context.Context, s stats.RPCStats) {
	if in, ok := s.(*stats.InPayload); ok {
		f := flagOf(ctx)
		f.mu.Lock()
		defer f.mu.Unlock()
		f.set = in.CompressedLength != in.Length
	}
}

// TagConn implements stats.Handler.
func (flags) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

// HandleConn implements stats.Handler.
func (flags) HandleConn(context.Context, stats.ConnStats) {}

func startCompressing(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer(grpc.StatsHandler(flags{}))
	pb.RegisterTestServiceServer(s, compressing{interop.NewTestServer()})
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

// client_compressed_unary and server_compressed_unary, written from the interop test descriptions, since grpc-go's client has no functions
// for them. Their streaming kin want some messages of a stream compressed and others not, which grpc-go cannot do.
func TestInteropCompressedUnary(t *testing.T) {
	addrs := []string{startCompressing(t)}
	for _, w := range ways {
		client := pb.NewTestServiceClient(w.dial(t, addrs, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithStatsHandler(flags{})))
		t.Run(w.name+"/client_compressed_unary", func(t *testing.T) {
			// The probe: a server that does not look would let everything pass.
			if _, err := client.UnaryCall(t.Context(), compressible(true, false)); status.Code(err) != codes.InvalidArgument {
				t.Fatalf("the probe: %v; want INVALID_ARGUMENT", err)
			}
			// grpc-go answers in the compression of the request.
			answered(t, client, compressible(true, false), true, grpc.UseCompressor(gzip.Name))
			answered(t, client, compressible(false, false), false)
		})
		t.Run(w.name+"/server_compressed_unary", func(t *testing.T) {
			for _, compressed := range []bool{true, false} {
				answered(t, client, compressible(false, compressed), compressed)
			}
		})
	}
}

func compressible(request, response bool) *pb.SimpleRequest {
	return &pb.SimpleRequest{
		ExpectCompressed: wrap(request), ResponseCompressed: wrap(response),
		ResponseSize: 314159, Payload: interop.ClientNewPayload(pb.PayloadType_COMPRESSABLE, 271828),
	}
}

func wrap(b bool) *pb.BoolValue { return &pb.BoolValue{Value: b} }

// answered makes a call that must be answered whole, compressed or not.
func answered(t *testing.T, client pb.TestServiceClient, in *pb.SimpleRequest, compressed bool, opts ...grpc.CallOption) {
	t.Helper()
	f := &flag{}
	out, err := client.UnaryCall(context.WithValue(t.Context(), flagKey{}, f), in, opts...)
	if err != nil || len(out.GetPayload().GetBody()) != 314159 || f.get() != compressed {
		t.Errorf("%d bytes, compressed %v, want %v: %v", len(out.GetPayload().GetBody()), f.get(), compressed, err)
	}
}

var compressedCases = []interopCase{
	{"large_unary", of(interop.DoLargeUnaryCall, grpc.UseCompressor(gzip.Name)), 1, 0},
	{"client_streaming", of(interop.DoClientStreaming, grpc.UseCompressor(gzip.Name)), 0, 1},
	{"server_streaming", of(interop.DoServerStreaming, grpc.UseCompressor(gzip.Name)), 0, 1},
	{"ping_pong", of(interop.DoPingPong, grpc.UseCompressor(gzip.Name)), 0, 1},
}

// Cases of grpc-go's own with every message compressed.
func TestInteropCompressed(t *testing.T) {
	addrs := []string{startCompressing(t)}
	for _, w := range ways {
		cc := w.dial(t, addrs, grpc.WithTransportCredentials(insecure.NewCredentials()))
		for _, c := range compressedCases {
			t.Run(w.name+"/"+c.name, func(t *testing.T) { play(t, func(ctx context.Context) { c.play(ctx, cc) }) })
		}
	}
}

package grpcresolver

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/onehop-go/onehop"
	"github.com/onehop-go/onehop/internal/consultest"
	"github.com/onehop-go/onehop/policy"
	"github.com/onehop-go/onehop/resolver"
)

// ledger of a test counts the executions of each call, by the id it carries, over all servers.
type executions struct {
	mu    sync.Mutex
	byID  map[string]int
	total int
}

func (e *executions) add(id string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.total++
	if e.byID == nil {
		e.byID = map[string]int{}
	}
	e.byID[id]++
	return e.byID[id]
}

func (e *executions) of(id string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.byID[id]
}

func (e *executions) most() (most int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, n := range e.byID {
		most = max(most, n)
	}
	return most
}

// server is a real gRPC server that can be killed and restarted on its address.
type server struct {
	pb.UnimplementedTestServiceServer
	t        *testing.T
	addr     string
	opts     []grpc.ServerOption
	impl     pb.TestServiceServer // nil: the server itself
	register func(*grpc.Server)   // more services
	ledger   *executions
	unary    func(ctx context.Context, id string, n int) error // n: how often the id was executed, this time included
	duplex   func(id string, n int, s grpc.BidiStreamingServer[pb.StreamingOutputCallRequest, pb.StreamingOutputCallResponse]) error

	mu     sync.Mutex
	server *grpc.Server
	lis    net.Listener
	calls  int
	more   chan struct{} // closed at the next call; nil: nobody waits for it
}

func startServer(t *testing.T, l *executions, opts ...grpc.ServerOption) *server {
	t.Helper()
	s := &server{t: t, ledger: l, opts: opts}
	s.start()
	t.Cleanup(s.kill)
	return s
}

func (s *server) start() {
	s.t.Helper()
	if s.addr == "" {
		s.addr = consultest.Addr(s.t)
	}
	lis, err := net.Listen("tcp", s.addr)
	if err != nil {
		s.t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lis = lis
	s.server = grpc.NewServer(s.opts...)
	if s.impl == nil {
		s.impl = s
	}
	pb.RegisterTestServiceServer(s.server, s.impl)
	if s.register != nil {
		s.register(s.server)
	}
	go func(g *grpc.Server) { _ = g.Serve(lis) }(s.server)
}

// kill ends the listener and every connection, as SIGKILL would.
func (s *server) kill() {
	s.mu.Lock()
	g, lis := s.server, s.lis
	s.mu.Unlock()
	_ = lis.Close() // Serve may not have begun
	g.Stop()
}

func (s *server) served() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls
}

func (s *server) count(ctx context.Context) (id string, n int) {
	s.mu.Lock()
	s.calls++
	if s.more != nil {
		close(s.more)
		s.more = nil
	}
	s.mu.Unlock()
	md, _ := metadata.FromIncomingContext(ctx)
	if ids := md.Get("id"); len(ids) > 0 {
		id = ids[0]
	}
	return id, s.ledger.add(id)
}

func (s *server) UnaryCall(ctx context.Context, in *pb.SimpleRequest) (*pb.SimpleResponse, error) {
	id, n := s.count(ctx)
	if st := in.GetResponseStatus(); st.GetCode() != 0 {
		return nil, status.Error(codes.Code(st.GetCode()), st.GetMessage())
	}
	if s.unary != nil {
		if err := s.unary(ctx, id, n); err != nil {
			return nil, err
		}
	}
	return &pb.SimpleResponse{Payload: in.GetPayload(), ServerId: s.addr}, nil
}

func (s *server) FullDuplexCall(stream grpc.BidiStreamingServer[pb.StreamingOutputCallRequest, pb.StreamingOutputCallResponse]) error {
	id, n := s.count(stream.Context())
	if s.duplex != nil {
		return s.duplex(id, n, stream)
	}
	return echo(stream)
}

// echo answers each message with its payload.
func echo(stream grpc.BidiStreamingServer[pb.StreamingOutputCallRequest, pb.StreamingOutputCallResponse]) error {
	for {
		in, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := stream.Send(&pb.StreamingOutputCallResponse{Payload: in.GetPayload()}); err != nil {
			return err
		}
	}
}

// StreamingOutputCall sends as many messages as it was asked for.
func (s *server) StreamingOutputCall(in *pb.StreamingOutputCallRequest, stream grpc.ServerStreamingServer[pb.StreamingOutputCallResponse]) error {
	id, n := s.count(stream.Context())
	if s.unary != nil {
		if err := s.unary(stream.Context(), id, n); err != nil {
			return err
		}
	}
	for _, p := range in.GetResponseParameters() {
		if err := stream.Send(&pb.StreamingOutputCallResponse{Payload: &pb.Payload{Body: make([]byte, p.GetSize())}}); err != nil {
			return err
		}
	}
	return nil
}

// StreamingInputCall answers with the size of all it got.
func (s *server) StreamingInputCall(stream grpc.ClientStreamingServer[pb.StreamingInputCallRequest, pb.StreamingInputCallResponse]) error {
	id, n := s.count(stream.Context())
	if s.unary != nil {
		if err := s.unary(stream.Context(), id, n); err != nil {
			return err
		}
	}
	size := 0
	for {
		in, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return stream.SendAndClose(&pb.StreamingInputCallResponse{AggregatedPayloadSize: int32(size)})
		}
		if err != nil {
			return err
		}
		size += len(in.GetPayload().GetBody())
	}
}

// scripted publishes what a test tells it.
type scripted struct {
	mu   sync.Mutex
	snap resolver.Snapshot
	wake chan struct{}
}

func (s *scripted) Watch(ctx context.Context, _ resolver.Target, publish func(resolver.Snapshot, error)) {
	for {
		s.mu.Lock()
		snap, wake := s.snap, s.wake
		s.mu.Unlock()
		publish(snap, nil)
		select {
		case <-wake:
		case <-ctx.Done():
			return
		}
	}
}

func (s *scripted) set(addrs ...string) {
	endpoints := make([]resolver.Endpoint, len(addrs))
	for i, a := range addrs {
		endpoints[i].Addr = a
	}
	s.put(endpoints...)
}

func (s *scripted) put(endpoints ...resolver.Endpoint) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.snap = resolver.Snapshot{Origin: "script", Endpoints: endpoints}
	if s.wake != nil {
		close(s.wake)
	}
	s.wake = make(chan struct{})
}

// hopTo is a Client that knows one service, "inventory", at the given addresses, and calls it by p.
func hopTo(t *testing.T, p policy.Policy, addrs ...string) (*onehop.Client, *scripted) {
	t.Helper()
	s := &scripted{}
	s.set(addrs...)
	hop, err := onehop.New(onehop.WithResolver(s), onehop.WithPolicies(policy.Static{"inventory": p}), onehop.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = hop.Close() })
	return hop, s
}

func dial(t *testing.T, hop *onehop.Client, opts ...grpc.DialOption) (*grpc.ClientConn, pb.TestServiceClient) {
	t.Helper()
	conn, err := NewClient(hop, "inventory", append([]grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn, pb.NewTestServiceClient(conn)
}

// call is a context with an id for the ledger and a bound on a test that hangs.
func call(t *testing.T, id string, opts ...onehop.CallOption) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	ctx = metadata.AppendToOutgoingContext(ctx, "id", id)
	return onehop.With(ctx, opts...)
}

// fast is the default policy with short backoffs.
func fast() policy.Policy {
	p := policy.Default()
	p.Retry.Backoff.Initial, p.Retry.Backoff.Max = time.Millisecond, 2*time.Millisecond
	return p
}

// reach waits until a ClientConn is in a state.
func reach(t *testing.T, conn *grpc.ClientConn, want connectivity.State) {
	t.Helper()
	for s := conn.GetState(); s != want; s = conn.GetState() {
		if !conn.WaitForStateChange(t.Context(), s) {
			t.Fatalf("still %v, not %v", s, want)
		}
	}
}

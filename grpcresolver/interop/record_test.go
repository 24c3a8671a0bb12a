package interop

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/interop"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"

	"github.com/onehop-go/onehop"
	"github.com/onehop-go/onehop/policy"
)

// previousAttempts tells a server how many attempts came before (gRFC A6). grpc-go writes it beneath the metadata that a
// stats handler is shown, and onehop into them: so it is the server that is asked.
const previousAttempts = "grpc-previous-rpc-attempts"

// failing is grpc-go's interop server which first fails a call as often as its metadata "fail" says.
type failing struct {
	mu   sync.Mutex
	seen map[string][]string // by the metadata "id": what each attempt said of those before it
	sent told
}

// told is a stats.Handler that counts the messages it was told of. grpc-go tells of one when it is on its way: a
// server on the same machine may answer before, and an attempt that ends so is described without it. So this one waits.
type told chan struct{}

// TagRPC implements stats.Handler.
func (told) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }

// HandleRPC implements stats.Handler.
func (c told) HandleRPC(_ context.Context, s stats.RPCStats) {
	if _, ok := s.(*stats.OutPayload); ok {
		c <- struct{}{}
	}
}

// TagConn implements stats.Handler.
func (told) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

// HandleConn implements stats.Handler.
func (told) HandleConn(context.Context, stats.ConnStats) {}

// wait takes one message of them.
func (c told) wait(ctx context.Context) error {
	select {
	case <-c:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// afterTold is a stream that gives out what it received when the client's handlers have been told of it.
type afterTold struct {
	grpc.ServerStream
	sent told
}

// RecvMsg implements grpc.ServerStream.
func (s afterTold) RecvMsg(m any) error {
	if err := s.ServerStream.RecvMsg(m); err != nil {
		return err
	}
	return s.sent.wait(s.Context())
}

// fails says whether this attempt of a call is to fail.
func (f *failing) fails(ctx context.Context) error {
	md, _ := metadata.FromIncomingContext(ctx)
	times := 0
	if v := md.Get("fail"); len(v) > 0 {
		_, _ = fmt.Sscan(v[0], &times)
	}
	id := strings.Join(md.Get("id"), "")
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen[id] = append(f.seen[id], fmt.Sprint(md.Get(previousAttempts)))
	if len(f.seen[id]) > times {
		return nil
	}
	return status.Error(codes.Unavailable, "not now")
}

// whole reads all that the client sends: a server that answered before would race with it, and grpc-go takes a stream
// that it could not send on again for one that ended well.
func whole(s grpc.ServerStream) error {
	for {
		if err := s.RecvMsg(&pb.Empty{}); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// of is what the attempts of a call said.
func (f *failing) of(id string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Join(f.seen[id], " ")
}

func startFailing(t *testing.T) (f *failing, addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f = &failing{seen: map[string][]string{}, sent: make(told, 100)} // room for all of one call
	s := grpc.NewServer(
		grpc.UnaryInterceptor(func(ctx context.Context, in any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
			if err := f.sent.wait(ctx); err != nil {
				return nil, err
			}
			if err := f.fails(ctx); err != nil {
				return nil, err
			}
			return next(ctx, in)
		}),
		grpc.StreamInterceptor(func(srv any, s grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
			s = afterTold{s, f.sent}
			if err := f.fails(s.Context()); err != nil {
				if read := whole(s); read != nil {
					return read
				}
				return err
			}
			return next(srv, s)
		}))
	pb.RegisterTestServiceServer(s, interop.NewTestServer())
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return f, l.Addr().String()
}

// seenCall is a call of which an instrumentation must see the same through onehop as through grpc-go.
type seenCall struct {
	name string
	fail int // attempts that fail with UNAVAILABLE before the server does as it is told
	run  func(ctx context.Context, c pb.TestServiceClient) error
}

var seenCalls = []seenCall{
	{"unary", 0, unaryCall(0)},
	{"unary that fails", 0, unaryCall(codes.NotFound)},
	{"client stream", 0, clientStream},
	{"server stream", 0, serverStream},
	{"bidi stream", 0, bidiStream(0)},
	{"bidi stream that fails", 0, bidiStream(codes.NotFound)},
	{"unary, third attempt", 2, unaryCall(0)},
	{"unary, all attempts fail", 3, unaryCall(0)},
	{"server stream, third attempt", 2, serverStream},
	{"server stream, all attempts fail", 3, serverStream},
	{"method that is not there", 0, func(ctx context.Context, c pb.TestServiceClient) error {
		_, err := c.UnimplementedCall(ctx, &pb.Empty{})
		return err
	}},
}

func unaryCall(code codes.Code) func(context.Context, pb.TestServiceClient) error {
	return func(ctx context.Context, c pb.TestServiceClient) error {
		_, err := c.UnaryCall(ctx, &pb.SimpleRequest{
			ResponseStatus: &pb.EchoStatus{Code: int32(code), Message: "as asked"}, Payload: &pb.Payload{Body: make([]byte, 100)}, ResponseSize: 200,
		})
		return err
	}
}

func clientStream(ctx context.Context, c pb.TestServiceClient) error {
	s, err := c.StreamingInputCall(ctx)
	if err != nil {
		return err
	}
	for i := range 3 {
		if err := s.Send(&pb.StreamingInputCallRequest{Payload: &pb.Payload{Body: make([]byte, i)}}); err != nil {
			return err
		}
	}
	_, err = s.CloseAndRecv()
	return err
}

func serverStream(ctx context.Context, c pb.TestServiceClient) error {
	s, err := c.StreamingOutputCall(ctx, &pb.StreamingOutputCallRequest{ResponseParameters: []*pb.ResponseParameters{{Size: 1}, {Size: 2}, {Size: 3}}})
	if err != nil {
		return err
	}
	return drain(s)
}

func bidiStream(code codes.Code) func(context.Context, pb.TestServiceClient) error {
	return func(ctx context.Context, c pb.TestServiceClient) error {
		s, err := c.FullDuplexCall(ctx)
		if err != nil {
			return err
		}
		for i := range 3 {
			if err := s.Send(&pb.StreamingOutputCallRequest{ResponseParameters: []*pb.ResponseParameters{{Size: int32(i)}}}); err != nil {
				return err
			}
			if _, err := s.Recv(); err != nil {
				return err
			}
		}
		if code != codes.OK {
			if err := s.Send(&pb.StreamingOutputCallRequest{ResponseStatus: &pb.EchoStatus{Code: int32(code), Message: "as asked"}}); err != nil {
				return err
			}
		} else if err := s.CloseSend(); err != nil {
			return err
		}
		return drain(s)
	}
}

// drain reads to the end.
func drain(s interface {
	Recv() (*pb.StreamingOutputCallResponse, error)
},
) error {
	for {
		switch _, err := s.Recv(); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}

// retrying is the retry policy of onehop's default in grpc-go's words, without the pauses.
const retrying = `{"loadBalancingConfig":[{"round_robin":{}}],"methodConfig":[{"name":[{"service":"grpc.testing.TestService"}],
	"retryPolicy":{"maxAttempts":3,"initialBackoff":"0.001s","maxBackoff":"0.001s","backoffMultiplier":1,"retryableStatusCodes":["UNAVAILABLE"]}}]}`

// seenBy are grpc-go with its own retries, and the two modes of onehop where every call may be executed twice.
func seenBy() []way {
	p := policy.Default()
	p.Retry.Backoff = policy.Backoff{Max: 1e6, Multiplier: 1}
	p.Routes = []policy.Route{{
		Name: "all", Match: policy.Match{GRPC: "grpc.testing.TestService/*"}, Idempotent: true, Settings: p.Settings,
	}}
	return []way{
		{"grpc-go", func(t *testing.T, addrs []string, opts ...grpc.DialOption) *grpc.ClientConn {
			t.Helper()
			return dialNative(t, retrying, addrs, opts...)
		}},
		{"NewClient", func(t *testing.T, addrs []string, opts ...grpc.DialOption) *grpc.ClientConn {
			t.Helper()
			return newClient(t, p, addrs, opts...)
		}},
		{"scheme only", func(t *testing.T, addrs []string, opts ...grpc.DialOption) *grpc.ClientConn {
			t.Helper()
			return schemeOnly(t, p, addrs, opts...)
		}},
	}
}

// compare plays each call on each way, under the instrumentation that see makes, and holds what it tells of them
// against what it tells of grpc-go.
func compare(t *testing.T, see func(t *testing.T) (dial []grpc.DialOption, told func() string)) {
	t.Helper()
	server, addr := startFailing(t)
	for _, c := range seenCalls {
		var want string
		for i, w := range seenBy() {
			t.Run(c.name+"/"+w.name, func(t *testing.T) {
				opts, told := see(t)
				opts = append(opts, grpc.WithStatsHandler(server.sent), grpc.WithTransportCredentials(insecure.NewCredentials()))
				cc := w.dial(t, []string{addr}, opts...)
				ready(t, cc)
				ctx := metadata.AppendToOutgoingContext(onehop.With(t.Context()), "id", t.Name(), "fail", fmt.Sprint(c.fail))
				err := c.run(ctx, pb.NewTestServiceClient(cc))
				if fails := c.fail > 2; fails && status.Code(err) != codes.Unavailable || !fails && status.Code(err) == codes.Unavailable {
					t.Errorf("the call: %v", err)
				}
				got := "the server saw " + server.of(t.Name()) + "\n" + told()
				if i == 0 {
					want = got
				} else if got != want {
					t.Errorf("told\n%s\nand of grpc-go\n%s", got, want)
				}
			})
		}
	}
}

// ready waits for the connection, so that none of it is told of the calls.
func ready(t *testing.T, cc *grpc.ClientConn) {
	t.Helper()
	cc.Connect()
	for s := cc.GetState(); s.String() != "READY"; s = cc.GetState() {
		if !cc.WaitForStateChange(t.Context(), s) {
			t.Fatal("not ready")
		}
	}
}

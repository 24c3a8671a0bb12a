package grpcresolver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/onehop-go/onehop"
	"github.com/onehop-go/onehop/policy"
)

// bidi is the server's half of a FullDuplexCall.
type bidi = grpc.BidiStreamingServer[pb.StreamingOutputCallRequest, pb.StreamingOutputCallResponse]

func message(n int) *pb.StreamingOutputCallRequest {
	return &pb.StreamingOutputCallRequest{Payload: &pb.Payload{Body: []byte(fmt.Sprint(n))}}
}

// pingPong sends n messages and reads each one's echo.
func pingPong(stream grpc.BidiStreamingClient[pb.StreamingOutputCallRequest, pb.StreamingOutputCallResponse], n int) error {
	for i := range n {
		if err := stream.Send(message(i)); err != nil {
			return fmt.Errorf("send %d: %w", i, err)
		}
		out, err := stream.Recv()
		if err != nil {
			return fmt.Errorf("receive %d: %w", i, err)
		}
		if got := string(out.GetPayload().GetBody()); got != fmt.Sprint(i) {
			return fmt.Errorf("message %d is %q", i, got)
		}
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("at the end: %w", err)
	}
	return nil
}

func TestStreamsOfAllKinds(t *testing.T) {
	var l executions
	s := startServer(t, &l)
	hop, _ := hopTo(t, fast(), s.addr)
	_, client := dial(t, hop)

	t.Run("bidi", func(t *testing.T) {
		stream, err := client.FullDuplexCall(call(t, "bidi"))
		if err != nil {
			t.Fatal(err)
		}
		if err := pingPong(stream, 10); err != nil {
			t.Error(err)
		}
	})
	t.Run("server", func(t *testing.T) {
		stream, err := client.StreamingOutputCall(call(t, "server"), &pb.StreamingOutputCallRequest{
			ResponseParameters: []*pb.ResponseParameters{{Size: 1}, {Size: 2}, {Size: 3}},
		})
		if err != nil {
			t.Fatal(err)
		}
		for i := 1; i <= 3; i++ {
			if out, err := stream.Recv(); err != nil || len(out.GetPayload().GetBody()) != i {
				t.Error(i, out, err)
			}
		}
		if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
			t.Error(err)
		}
	})
	t.Run("client", func(t *testing.T) {
		stream, err := client.StreamingInputCall(call(t, "client"))
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if err := stream.Send(&pb.StreamingInputCallRequest{Payload: &pb.Payload{Body: make([]byte, 10)}}); err != nil {
				t.Fatal(err)
			}
		}
		if out, err := stream.CloseAndRecv(); err != nil || out.GetAggregatedPayloadSize() != 30 {
			t.Error(out, err)
		}
	})
	t.Run("empty", func(t *testing.T) {
		stream, err := client.StreamingOutputCall(call(t, "empty"), &pb.StreamingOutputCallRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
			t.Error(err)
		}
	})
}

func TestStreamIsRetriedUntilHeaders(t *testing.T) {
	var l executions
	s := startServer(t, &l)
	s.duplex = func(_ string, n int, stream bidi) error {
		if n == 1 { // reads, and fails before headers
			_, _ = stream.Recv()
			_, _ = stream.Recv()
			return status.Error(codes.Unavailable, "not now")
		}
		return echo(stream)
	}
	hop, _ := hopTo(t, fast(), s.addr)
	_, client := dial(t, hop)
	stream, err := client.FullDuplexCall(call(t, "replayed", onehop.Idempotent()))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		if err := stream.Send(message(i)); err != nil {
			t.Fatal(err)
		}
	}
	_ = stream.CloseSend()
	for i := range 5 {
		out, err := stream.Recv()
		if err != nil || string(out.GetPayload().GetBody()) != fmt.Sprint(i) {
			t.Fatal(i, out, err)
		}
	}
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
	if l.of("replayed") != 2 {
		t.Errorf("executed %d times", l.of("replayed"))
	}
}

func TestStreamIsNotRetriedAfterHeaders(t *testing.T) {
	var l executions
	s := startServer(t, &l)
	s.duplex = func(_ string, _ int, stream bidi) error {
		_ = stream.SendHeader(nil)
		return status.Error(codes.Unavailable, "too late")
	}
	hop, _ := hopTo(t, fast(), s.addr)
	_, client := dial(t, hop)
	stream, err := client.FullDuplexCall(call(t, "committed", onehop.Idempotent()))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); status.Convert(err).Message() != "too late" {
		t.Error(err)
	}
	if l.of("committed") != 1 {
		t.Errorf("executed %d times", l.of("committed"))
	}
}

func TestStreamNotIdempotentIsExecutedOnce(t *testing.T) {
	var l executions
	s := startServer(t, &l)
	s.duplex = func(string, int, bidi) error { return status.Error(codes.Unavailable, "not now") }
	hop, _ := hopTo(t, fast(), s.addr)
	_, client := dial(t, hop)
	stream, err := client.FullDuplexCall(call(t, "once"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); status.Convert(err).Message() != "not now" {
		t.Error(err)
	}
	if l.of("once") != 1 {
		t.Errorf("executed %d times", l.of("once"))
	}
}

func TestStreamBeyondTheBufferIsNotReplayed(t *testing.T) {
	var l executions
	s := startServer(t, &l)
	s.duplex = func(_ string, _ int, stream bidi) error {
		for range 3 {
			if _, err := stream.Recv(); err != nil {
				return err
			}
		}
		return status.Error(codes.Unavailable, "not now")
	}
	hop, _ := hopTo(t, fast(), s.addr)
	_, client := dial(t, hop)
	stream, err := client.FullDuplexCall(call(t, "big", onehop.Idempotent()))
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := stream.Send(&pb.StreamingOutputCallRequest{Payload: &pb.Payload{Body: make([]byte, 100<<10)}}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := stream.Recv(); status.Convert(err).Message() != "not now" {
		t.Error(err)
	}
	if l.of("big") != 1 {
		t.Errorf("executed %d times", l.of("big"))
	}
}

// 200 streams, and 2 of the 3 servers die while the streams wait for their first answer. In virtual time: however slow
// the machine, the answers that earn the retries are those of the last 10 s.
func TestStreamsOutliveServers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l executions
		var begun sync.WaitGroup
		const streams = 200
		begun.Add(streams)
		dying := make(chan struct{})
		hold := func(_ string, n int, stream bidi) error {
			if n == 1 {
				begun.Done()
			}
			select {
			case <-dying:
			case <-stream.Context().Done():
				return stream.Context().Err()
			}
			return echo(stream)
		}
		n := lay(t)
		addrs := []string{"10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"}
		var kill []func()
		for _, addr := range addrs {
			kill = append(kill, n.add(t, addr, &server{ledger: &l, addr: addr, duplex: hold}))
		}
		p := fast()
		p.Budget = policy.Budget{Ratio: 0.2, Min: 100}
		hop, _ := hopTo(t, p, addrs...)
		_, client := dial(t, hop, grpc.WithContextDialer(n.dial))
		for range 10 * streams { // answers earn the retries
			if _, err := client.UnaryCall(call(t, "earn"), &pb.SimpleRequest{}); err != nil {
				t.Fatal(err)
			}
		}
		var wg sync.WaitGroup
		for i := range streams {
			wg.Go(func() {
				stream, err := client.FullDuplexCall(call(t, fmt.Sprint("s", i), onehop.Idempotent()))
				if err == nil {
					err = pingPong(stream, 20)
				}
				if err != nil {
					t.Errorf("stream %d: %v", i, err)
				}
			})
		}
		begun.Wait()
		kill[0]()
		kill[1]()
		close(dying)
		wg.Wait()
	})
}

func TestStreamEndsWithItsContext(t *testing.T) {
	var l executions
	s := startServer(t, &l)
	s.duplex = func(_ string, _ int, stream bidi) error { <-stream.Context().Done(); return nil }
	hop, _ := hopTo(t, fast(), s.addr)
	_, client := dial(t, hop)
	ctx, cancel := context.WithCancel(call(t, "left"))
	stream, err := client.FullDuplexCall(ctx)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := stream.Recv(); status.Code(err) != codes.Canceled {
		t.Error(err)
	}
}

// leaving is a stream whose caller leaves at the moment its headers come. It cannot be compared.
type leaving struct {
	grpc.ClientStream
	leave context.CancelFunc
}

func (s leaving) Header() (metadata.MD, error) {
	md, err := s.ClientStream.Header()
	s.leave()
	return md, err
}

// Where the caller's end and the answer come at once, the call ends as one that its caller left, and not by chance.
func TestStreamAnsweredAsItsCallerLeaves(t *testing.T) {
	var l executions
	s := startServer(t, &l)
	s.duplex = func(_ string, _ int, stream bidi) error { return stream.SendHeader(nil) }
	hop, _ := hopTo(t, fast(), s.addr)
	ctx, cancel := context.WithCancel(call(t, "left"))
	inner := func(
		ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, streamer grpc.Streamer, opts ...grpc.CallOption,
	) (grpc.ClientStream, error) {
		stream, err := streamer(ctx, desc, cc, method, opts...)
		if err != nil {
			return nil, err
		}
		return leaving{stream, cancel}, nil
	}
	conn, err := grpc.NewClient("consul:///inventory", append(DialOptions(hop),
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithChainStreamInterceptor(inner))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	finished := make(chan error, 2)
	stream, err := pb.NewTestServiceClient(conn).FullDuplexCall(ctx, grpc.OnFinish(func(err error) { finished <- err }))
	if err != nil {
		t.Fatal(err)
	}
	if md, err := stream.Header(); status.Code(err) != codes.Canceled {
		t.Errorf("headers: %v, %v", md, err)
	}
	if _, err := stream.Recv(); status.Code(err) != codes.Canceled {
		t.Errorf("received: %v", err)
	}
	if err := <-finished; status.Code(err) != codes.Canceled {
		t.Errorf("finished: %v", err)
	}
	if n := l.of("left"); n != 1 {
		t.Errorf("%d executions", n)
	}
}

func TestOnFinishOncePerCall(t *testing.T) {
	var l executions
	s := startServer(t, &l)
	s.unary = func(_ context.Context, _ string, n int) error {
		if n < 3 {
			return status.Error(codes.Unavailable, "not now")
		}
		return nil
	}
	hop, _ := hopTo(t, fast(), s.addr)
	_, client := dial(t, hop)
	var ends []error
	finish := grpc.OnFinish(func(err error) { ends = append(ends, err) })
	if _, err := client.UnaryCall(call(t, "u", onehop.Idempotent()), &pb.SimpleRequest{}, finish); err != nil {
		t.Fatal(err)
	}
	if len(ends) != 1 || ends[0] != nil {
		t.Errorf("unary: %v", ends)
	}
	ends = nil
	stream, err := client.StreamingOutputCall(call(t, "s", onehop.Idempotent()), &pb.StreamingOutputCallRequest{}, finish)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
	if len(ends) != 1 || ends[0] != nil {
		t.Errorf("stream: %v", ends)
	}
}

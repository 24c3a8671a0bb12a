package grpcresolver

import (
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/onehop-go/onehop"
	"github.com/onehop-go/onehop/policy"
)

// smallWindow keeps a client that sends more from going on until the server reads.
var smallWindow = []grpc.ServerOption{grpc.InitialWindowSize(1 << 16), grpc.InitialConnWindowSize(1 << 16)}

func large(n int) *pb.StreamingOutputCallRequest {
	return &pb.StreamingOutputCallRequest{Payload: &pb.Payload{Body: fmt.Appendf(nil, "%d %060000d", n, 0)}}
}

// sending sends messages of 60 kB; what it returns is closed when all are sent.
func sending(t *testing.T, stream grpc.BidiStreamingClient[pb.StreamingOutputCallRequest, pb.StreamingOutputCallResponse], n int) <-chan struct{} {
	t.Helper()
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for i := range n {
			if err := stream.Send(large(i)); err != nil {
				t.Errorf("send %d: %v", i, err)
				return
			}
		}
		if err := stream.CloseSend(); err != nil {
			t.Error(err)
		}
	}()
	return sent
}

func blocked(t *testing.T, sent <-chan struct{}) {
	t.Helper()
	synctest.Wait()
	select {
	case <-sent:
		t.Fatal("flow control blocks nothing: nothing is proved")
	default:
	}
}

// A server that answers before it reads: the answer is there while SendMsg still waits for flow control. A lock held over
// that would hide it until the deadline.
func TestFirstAnswerDoesNotWaitForABlockedSend(t *testing.T) {
	for name, opts := range map[string][]onehop.CallOption{"replayable": {onehop.Idempotent()}, "once": nil} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				answer, read := make(chan struct{}), make(chan struct{})
				n := lay(t)
				n.add(t, "10.0.0.1:80", &server{ledger: &executions{}, duplex: func(_ string, _ int, stream bidi) error {
					<-answer
					if err := stream.Send(&pb.StreamingOutputCallResponse{}); err != nil {
						return err
					}
					<-read
					return echo(stream)
				}}, smallWindow...)
				hop, _ := hopTo(t, fast(), "10.0.0.1:80")
				_, client := dial(t, hop, grpc.WithContextDialer(n.dial))
				stream, err := client.FullDuplexCall(call(t, name, opts...))
				if err != nil {
					t.Fatal(err)
				}
				sent := sending(t, stream, 4) // 240 kB: within what is kept for another attempt
				blocked(t, sent)
				close(answer)
				if _, err := stream.Recv(); err != nil {
					t.Fatal(err)
				}
				blocked(t, sent)
				close(read)
				received(t, stream, 4)
				<-sent
			})
		})
	}
}

// received reads n large messages, in their order, and the end.
func received(t *testing.T, stream grpc.BidiStreamingClient[pb.StreamingOutputCallRequest, pb.StreamingOutputCallResponse], n int) {
	t.Helper()
	for i := range n {
		out, err := stream.Recv()
		if err != nil {
			t.Fatalf("receive %d: %v", i, err)
		}
		var got int
		if _, err := fmt.Sscan(string(out.GetPayload().GetBody()[:2]), &got); err != nil || got != i {
			t.Fatalf("message %d is number %d: %v", i, got, err)
		}
	}
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %v", err)
	}
}

// An attempt that fails under a SendMsg that waits for flow control: the next attempt gets every message, once and in order.
func TestReplayUnderABlockedSend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fail := make(chan struct{})
		var l executions
		n := lay(t)
		n.add(t, "10.0.0.1:80", &server{ledger: &l, duplex: func(_ string, n int, stream bidi) error {
			if n == 1 {
				<-fail
				return status.Error(codes.Unavailable, "not now")
			}
			return echo(stream)
		}}, smallWindow...)
		hop, _ := hopTo(t, fast(), "10.0.0.1:80")
		_, client := dial(t, hop, grpc.WithContextDialer(n.dial))
		stream, err := client.FullDuplexCall(call(t, "replayed", onehop.Idempotent()))
		if err != nil {
			t.Fatal(err)
		}
		sent := sending(t, stream, 4)
		blocked(t, sent)
		close(fail)
		received(t, stream, 4)
		<-sent
		if l.of("replayed") != 2 {
			t.Errorf("executed %d times", l.of("replayed"))
		}
	})
}

// A server that answers a second attempt before it reads: the answer is there while what was sent before is still on its way,
// which comes whole and in order, and before what is sent after it.
func TestFirstAnswerDoesNotWaitForTheReplay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fail, read := make(chan struct{}), make(chan struct{})
		n := lay(t)
		n.add(t, "10.0.0.1:80", &server{ledger: &executions{}, duplex: func(_ string, n int, stream bidi) error {
			if n == 1 {
				for range 4 {
					if _, err := stream.Recv(); err != nil {
						return err
					}
				}
				<-fail
				return status.Error(codes.Unavailable, "not now")
			}
			if err := stream.Send(&pb.StreamingOutputCallResponse{}); err != nil {
				return err
			}
			<-read
			return echo(stream)
		}}, smallWindow...)
		hop, _ := hopTo(t, fast(), "10.0.0.1:80")
		_, client := dial(t, hop, grpc.WithContextDialer(n.dial))
		stream, err := client.FullDuplexCall(call(t, "resumed", onehop.Idempotent()))
		if err != nil {
			t.Fatal(err)
		}
		for i := range 4 {
			if err := stream.Send(large(i)); err != nil {
				t.Fatal(err)
			}
		}
		close(fail)
		if _, err := stream.Recv(); err != nil {
			t.Fatal(err)
		}
		sent := make(chan error, 1)
		go func() { sent <- errors.Join(stream.Send(large(4)), stream.CloseSend()) }()
		synctest.Wait()
		if len(sent) > 0 {
			t.Fatalf("sent before what came before: %v", <-sent)
		}
		close(read)
		received(t, stream, 5)
		if err := <-sent; err != nil {
			t.Error(err)
		}
	})
}

// failsFirst echoes from the second attempt on.
func failsFirst(_ string, n int, stream bidi) error {
	if n == 1 {
		return status.Error(codes.Unavailable, "not now")
	}
	return echo(stream)
}

// leisurely is a policy by which a second attempt comes a second after the first.
func leisurely() policy.Policy {
	p := policy.Default()
	p.Retry.Backoff = policy.Backoff{Initial: time.Second, Max: time.Second, Multiplier: 1}
	return p
}

// Between two attempts the caller sends more than is kept: it waits for the next attempt, which gets every message, instead
// of one without those that came before.
func TestSendingOnBetweenAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := lay(t)
		n.add(t, "10.0.0.1:80", &server{ledger: &executions{}, duplex: failsFirst})
		hop, _ := hopTo(t, leisurely(), "10.0.0.1:80")
		_, client := dial(t, hop, grpc.WithContextDialer(n.dial))
		stream, err := client.FullDuplexCall(call(t, "on and on", onehop.Idempotent()))
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // the first attempt has failed
		sent := sending(t, stream, 8)
		blocked(t, sent)
		received(t, stream, 8)
		<-sent
	})
}

// Context commits, as with grpc-go. Where that comes between two attempts there is no second one, least of all one without
// what was sent on the first.
func TestCommittedBetweenAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := lay(t)
		n.add(t, "10.0.0.1:80", &server{ledger: &executions{}, duplex: func(_ string, n int, stream bidi) error {
			if n == 1 {
				_, _ = stream.Recv()
			}
			return failsFirst("", n, stream)
		}})
		hop, _ := hopTo(t, leisurely(), "10.0.0.1:80")
		_, client := dial(t, hop, grpc.WithContextDialer(n.dial))
		stream, err := client.FullDuplexCall(call(t, "committed", onehop.Idempotent()))
		if err != nil {
			t.Fatal(err)
		}
		if err := stream.Send(message(1)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // the first attempt has failed
		_ = stream.Context()
		_ = stream.CloseSend()
		if out, err := stream.Recv(); status.Convert(err).Message() != "not now" {
			t.Errorf("got %v, %v; want the first attempt's status", out, err)
		}
	})
}

// What is kept for another attempt is 256 KiB of messages, and not a byte more.
func TestReplayIsBounded(t *testing.T) {
	of := func(size int) *pb.StreamingOutputCallRequest { // of so many bytes on the wire, above 16 KiB and below 2 MiB
		return &pb.StreamingOutputCallRequest{Payload: &pb.Payload{Body: make([]byte, size-8)}}
	}
	for _, row := range []struct {
		name  string
		sizes []int
		kept  int
	}{
		{"nothing", nil, 0},
		{"to the last byte", []int{replayLimit / 2, replayLimit / 2}, 2},
		{"one byte more", []int{replayLimit / 2, replayLimit/2 + 1}, 0},
		{"never again after too much", []int{replayLimit + 1, 20 << 10}, 0},
	} {
		var r replay
		for _, size := range row.sizes {
			r.add(of(size))
		}
		if len(r.messages) != row.kept || r.lost != (row.kept == 0 && len(row.sizes) > 0) {
			t.Errorf("%s: %d messages kept, lost %v", row.name, len(r.messages), r.lost)
		}
	}
	var r replay
	r.add("of another codec")
	if !r.lost {
		t.Error("a message whose size cannot be told is kept")
	}
}

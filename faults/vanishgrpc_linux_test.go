package faults

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	pb "google.golang.org/grpc/interop/grpc_testing"

	"github.com/onehop-go/onehop/policy"
)

// goneGRPC is the gRPC server beside the HTTP server at addr.
func goneGRPC(addr string) string { return strings.TrimSuffix(addr, ":80") + ":81" }

// echoes answers each message of a stream with an empty one.
type echoes struct {
	pb.UnimplementedTestServiceServer
}

func (echoes) FullDuplexCall(s grpc.BidiStreamingServer[pb.StreamingOutputCallRequest, pb.StreamingOutputCallResponse]) error {
	for {
		switch _, err := s.Recv(); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		if err := s.Send(&pb.StreamingOutputCallResponse{}); err != nil {
			return err
		}
	}
}

// serveEcho is the gRPC half of the server that will vanish.
func serveEcho(addr string) {
	l, err := net.Listen("tcp", goneGRPC(addr))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	s := grpc.NewServer()
	pb.RegisterTestServiceServer(s, echoes{})
	fmt.Fprintln(os.Stderr, s.Serve(l))
}

// A host whose cable is cut under gRPC, without any ping of HTTP/2: a connection with something to send finds out by
// TCP_USER_TIMEOUT, an idle one by TCP's keepalive.
func TestRow35HostVanishesUnderGRPC(t *testing.T) { //nolint:tparallel // one cable is cut after the other
	t.Parallel()
	row(t, 35)
	if !inNamespace(t) {
		return
	}
	there := overThere(t)
	for _, busy := range []bool{true, false} {
		t.Run(fmt.Sprint("busy ", busy), func(t *testing.T) { vanishGRPC(t, busy, there) })
	}
}

func vanishGRPC(t *testing.T, busy bool, there string) {
	t.Helper()
	client := dialGRPC(t, static(t, policy.Default(), []string{goneGRPC(gone)}))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	stream, err := client.FullDuplexCall(ctx, grpc.WaitForReady(true))
	if err != nil {
		t.Fatal(err)
	}
	ask := &pb.StreamingOutputCallRequest{}
	if err := stream.Send(ask); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	cut(t, there)
	start := time.Now()
	if busy {
		if err := stream.Send(ask); err != nil {
			t.Fatal(err)
		}
	}
	_, err = stream.Recv()
	took := time.Since(start)
	mend(t, there)
	figuref(t, "vanished under gRPC, busy %v: noticed after %s", busy, took.Round(time.Millisecond))
	if err == nil || ctx.Err() != nil {
		t.Errorf("the stream ended with %v", err)
	}
	if took > 20*time.Second { // 15 s, and a loaded machine
		t.Errorf("noticed after %s; want 15 s", took)
	}
}

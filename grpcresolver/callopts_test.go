package grpcresolver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/onehop-go/onehop"
)

// numbering fails the first attempts of each call, and says in headers, trailers, message and details which attempt it is.
type numbering struct {
	fail int

	mu   sync.Mutex
	auth []string // of each attempt
}

func (s *numbering) serve(ctx context.Context, _ string, n int) error {
	md, _ := metadata.FromIncomingContext(ctx)
	s.mu.Lock()
	s.auth = append(s.auth, md.Get("authorization")...)
	s.mu.Unlock()
	number := metadata.Pairs("attempt", fmt.Sprint(n))
	_ = grpc.SetTrailer(ctx, number)
	if n > s.fail {
		return grpc.SendHeader(ctx, number)
	}
	st, err := status.Newf(codes.Unavailable, "attempt %d", n).WithDetails(durationpb.New(time.Duration(n) * time.Second))
	if err != nil {
		return err
	}
	return st.Err()
}

// outcome is what a caller has after a call, by whatever way it asks.
type outcome struct {
	header, trailer metadata.MD
	from            peer.Peer
	finished        []error
	err             error
}

func (o *outcome) options() []grpc.CallOption {
	return []grpc.CallOption{
		grpc.Header(&o.header), grpc.Trailer(&o.trailer), grpc.Peer(&o.from), grpc.PerRPCCredentials(token("me")),
		grpc.OnFinish(func(err error) { o.finished = append(o.finished, err) }),
	}
}

// String is all of it in a line.
func (o *outcome) String() string {
	details := ""
	for _, d := range status.Convert(o.err).Details() {
		if d, ok := d.(*durationpb.Duration); ok {
			details += d.AsDuration().String()
		}
	}
	return fmt.Sprintf("header %v, trailer %v, from %v, finished %d, %v %q %s",
		o.header.Get("attempt"), o.trailer.Get("attempt"), o.from.Addr, len(o.finished), status.Code(o.err), status.Convert(o.err).Message(), details)
}

// What call options are filled with, the status and its details are of the attempt that won, or of the last one where none
// did; credentials are asked for each.
func TestCallOptionsAreOfTheAttemptThatWon(t *testing.T) {
	for kind, run := range map[string]func(context.Context, pb.TestServiceClient) *outcome{
		"unary": func(ctx context.Context, c pb.TestServiceClient) *outcome {
			var o outcome
			_, o.err = c.UnaryCall(ctx, &pb.SimpleRequest{}, o.options()...)
			return &o
		},
		"stream": func(ctx context.Context, c pb.TestServiceClient) *outcome {
			var o outcome
			s, err := c.StreamingOutputCall(ctx, &pb.StreamingOutputCallRequest{}, o.options()...)
			for err == nil {
				_, err = s.Recv()
			}
			if !errors.Is(err, io.EOF) {
				o.err = err
			}
			return &o
		},
		"stream, asked itself": func(ctx context.Context, c pb.TestServiceClient) *outcome {
			var o outcome
			s, err := c.StreamingOutputCall(ctx, &pb.StreamingOutputCallRequest{}, o.options()[3:]...)
			if err != nil {
				o.err = err
				return &o
			}
			o.header, _ = s.Header()
			for err == nil {
				_, err = s.Recv()
			}
			if !errors.Is(err, io.EOF) {
				o.err = err
			}
			o.trailer = s.Trailer()
			if p, ok := peer.FromContext(s.Context()); ok {
				o.from = *p
			}
			return &o
		},
	} {
		for fail, want := range map[int]string{
			0: `header [1], trailer [1], from %s, finished 1, OK "" `,
			2: `header [3], trailer [3], from %s, finished 1, OK "" `,
			3: `header [], trailer [3], from %s, finished 1, Unavailable "attempt 3" 3s`,
		} {
			t.Run(fmt.Sprint(kind, ", ", fail, " fail"), func(t *testing.T) {
				var l executions
				serving := &numbering{fail: fail}
				s := startServer(t, &l)
				s.unary = serving.serve
				hop, _ := hopTo(t, fast(), s.addr)
				_, client := dial(t, hop)
				got := run(call(t, "numbered", onehop.Idempotent()), client).String()
				if want := fmt.Sprintf(want, s.addr); got != want {
					t.Errorf("got  %s\nwant %s", got, want)
				}
				attempts := min(fail+1, 3)
				serving.mu.Lock()
				defer serving.mu.Unlock()
				if len(serving.auth) != attempts || serving.auth[attempts-1] != "me" {
					t.Errorf("credentials of %d attempts: %v", attempts, serving.auth)
				}
			})
		}
	}
}

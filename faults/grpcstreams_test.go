package faults

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	grpcstatus "google.golang.org/grpc/status"

	"github.com/onehop-go/onehop"
	"github.com/onehop-go/onehop/policy"
)

// kind is a way to call a booking service. Its call ends without an error if all that was to come came, in order.
type kind struct {
	name string
	call func(context.Context, pb.TestServiceClient) error
}

var (
	unaryKind = []kind{{"unary", unaryOnce}}
	allKinds  = []kind{{"unary", unaryOnce}, {"client stream", sendMany}, {"server stream", receiveMany}, {"bidi stream", pingPong}}
)

func unaryOnce(ctx context.Context, c pb.TestServiceClient) error {
	_, err := c.UnaryCall(ctx, &pb.SimpleRequest{})
	return err
}

func sendMany(ctx context.Context, c pb.TestServiceClient) error {
	s, err := c.StreamingInputCall(ctx)
	if err != nil {
		return err
	}
	for range 3 {
		if err := s.Send(&pb.StreamingInputCallRequest{Payload: &pb.Payload{Body: make([]byte, 100)}}); errors.Is(err, io.EOF) {
			break // CloseAndRecv has the reason
		} else if err != nil {
			return err
		}
	}
	out, err := s.CloseAndRecv()
	if err == nil && out.GetAggregatedPayloadSize() != 300 {
		err = fmt.Errorf("%d of 300 bytes came", out.GetAggregatedPayloadSize())
	}
	return err
}

func receiveMany(ctx context.Context, c pb.TestServiceClient) error {
	s, err := c.StreamingOutputCall(ctx, &pb.StreamingOutputCallRequest{ResponseParameters: []*pb.ResponseParameters{{Size: 1}, {Size: 2}, {Size: 3}}})
	if err != nil {
		return err
	}
	for want := 1; ; want++ {
		out, err := s.Recv()
		switch {
		case errors.Is(err, io.EOF) && want == 4:
			return nil
		case err != nil:
			return fmt.Errorf("message %d: %w", want, err)
		case len(out.GetPayload().GetBody()) != want:
			return fmt.Errorf("message %d is another", want)
		}
	}
}

func pingPong(ctx context.Context, c pb.TestServiceClient) error {
	return converse(ctx, c, 0, func() {})
}

// converse sends messages of which the first hold are answered together, the others one by one. paused is called when the
// next message would bring the first answer.
func converse(ctx context.Context, c pb.TestServiceClient, hold int, paused func()) error {
	s, err := c.FullDuplexCall(metadata.AppendToOutgoingContext(ctx, "hold", fmt.Sprint(hold)))
	if err != nil {
		return err
	}
	for n := range hold + 5 {
		if n == hold-1 {
			paused()
		}
		if err := s.Send(numbered(n)); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if n < hold-1 {
			continue
		}
		for want := range n + 1 {
			if want < n && n != hold-1 {
				continue // it was read before
			}
			if err := next(s, want); err != nil {
				return err
			}
		}
	}
	if err := s.CloseSend(); err != nil {
		return err
	}
	if _, err := s.Recv(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("at the end: %w", err)
	}
	return nil
}

func numbered(n int) *pb.StreamingOutputCallRequest {
	return &pb.StreamingOutputCallRequest{Payload: &pb.Payload{Body: []byte(fmt.Sprint(n))}}
}

// next reads a message, which must have the number.
func next(s grpc.BidiStreamingClient[pb.StreamingOutputCallRequest, pb.StreamingOutputCallResponse], want int) error {
	out, err := s.Recv()
	if err != nil {
		return fmt.Errorf("message %d: %w", want, err)
	}
	if got := string(out.GetPayload().GetBody()); got != fmt.Sprint(want) {
		return fmt.Errorf("message %d is number %s", want, got)
	}
	return nil
}

// A connection that goes away in the middle of calls, and a server that refuses streams: what was not processed is
// repeated, of every kind, and nothing is executed twice.
func TestRow37GRPCStreams(t *testing.T) {
	t.Parallel()
	row(t, 37)
	for name, meddle := range map[string]func(*meddling, uint32) bool{
		"GOAWAY": func(m *meddling, id uint32) bool {
			if m.n == 10 {
				m.goAway(id - 2)
			}
			return m.n >= 10
		},
		"refused": func(m *meddling, id uint32) bool {
			if m.n%5 == 0 {
				m.refuse(id)
			}
			return m.n%5 == 0
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := startBooking(t)
			m := newMeddler(t, server.addr, meddle)
			p := policy.Default()
			p.Retry.MaxAttempts = 5 // a call may be taken several times in a row
			client := dialGRPC(t, static(t, p, []string{m.addr}))
			var mu sync.Mutex
			var all tally
			var wg sync.WaitGroup
			for w := range 4 {
				wg.Go(func() {
					for i := range 100 {
						k := allKinds[(w+i)%len(allKinds)]
						o := outcome{id: fmt.Sprintf("%s %d-%d", k.name, w, i)}
						ctx, cancel := context.WithTimeout(t.Context(), deadline)
						o.err = k.call(metadata.AppendToOutgoingContext(ctx, "id", o.id), client)
						cancel()
						mu.Lock()
						all = append(all, o)
						mu.Unlock()
					}
				})
			}
			wg.Wait()
			all.wantNoneFailed(t)
			by := booked(t, []*bookingProcess{server})
			figuref(t, "%s: %d streams taken from the server, %d of 400 calls executed, %d twice", name, m.taken.Load(), len(by), doubles(by))
			if len(by) != 400 || doubles(by) != 0 {
				t.Errorf("%d of 400 calls were executed, %d of them twice", len(by), doubles(by))
			}
			if m.taken.Load() == 0 {
				t.Error("no stream was taken")
			}
		})
	}
}

// The process of a call is killed after it has booked it. Of every kind: one that may not be executed twice ends with an error
// that says so, one that may goes on elsewhere.
func TestRow75StreamsWhoseServerDies(t *testing.T) {
	t.Parallel()
	row(t, 75)
	for _, k := range allKinds {
		for _, idempotent := range []bool{false, true} {
			all, list := startBookings(t, 2)
			client := dialGRPC(t, static(t, policy.Default(), list))
			id := fmt.Sprint(k.name, " idempotent ", idempotent)
			ctx, cancel := context.WithTimeout(t.Context(), deadline)
			ctx = metadata.AppendToOutgoingContext(ctx, "id", id, "die", "yes")
			if idempotent {
				ctx = onehop.With(ctx, onehop.Idempotent())
			}
			err := k.call(ctx, client)
			cancel()
			times := booked(t, all)[id]
			switch {
			case idempotent && (err != nil || times != 2):
				t.Errorf("%s: executed %d times, %v; want 2 and an answer", id, times, err)
			case !idempotent && (onehop.ReasonOf(err) != onehop.ReasonUnsafe || grpcstatus.Code(err) != codes.Unavailable || times != 1):
				t.Errorf("%s: executed %d times, %v; want 1 and why it was not repeated", id, times, err)
			}
			figuref(t, "%s: executed %d times", id, times)
			for _, b := range all {
				b.kill()
			}
		}
	}
}

// 200 streams have sent and got no answer yet when two of their three servers are killed: all go on, in order.
func TestRow28StreamsOutliveTheirServers(t *testing.T) {
	t.Parallel()
	row(t, 28)
	unslowed(t)
	const streams, held = 200, 10
	all, list := startBookings(t, 3)
	p := policy.Default()
	p.Budget = policy.Budget{Ratio: 0.2, Min: 100}
	client := dialGRPC(t, static(t, p, list))
	earn := driveGRPC(t, client, 1000, unaryKind)
	earn.more(500)
	var paused, wg sync.WaitGroup
	paused.Add(streams)
	killed := make(chan struct{})
	var mu sync.Mutex
	var ends tally
	for i := range streams {
		wg.Go(func() {
			o := outcome{id: fmt.Sprint("stream-", i)}
			ctx, cancel := context.WithTimeout(t.Context(), deadline)
			defer cancel()
			ctx = metadata.AppendToOutgoingContext(onehop.With(ctx, onehop.Idempotent()), "id", o.id)
			wait := sync.OnceFunc(func() { paused.Done(); <-killed })
			o.err = converse(ctx, client, held, wait)
			wait()
			mu.Lock()
			defer mu.Unlock()
			ends = append(ends, o)
		})
	}
	paused.Wait()
	await(t, "all streams at their servers", func() bool { return streamsOf(booked(t, all)) == streams })
	earn.more(2000) // two thirds will be repeated in one moment: answers must have earned that many
	earn.stop().wantNoneFailed(t)
	all[0].kill()
	all[1].kill()
	close(killed)
	wg.Wait()
	ends.wantNoneFailed(t)
	again := doubles(booked(t, all))
	figuref(t, "%d of %d streams went on at another server", again, streams)
	if again == 0 {
		t.Error("no stream lost its server")
	}
}

// streamsOf counts the streams in a ledger.
func streamsOf(by map[string]int) (n int) {
	for id := range by {
		if strings.HasPrefix(id, "stream-") {
			n++
		}
	}
	return n
}

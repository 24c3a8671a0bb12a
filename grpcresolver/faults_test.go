package grpcresolver

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/onehop-go/onehop"
)

// A server that refuses every stream: grpc-go tries each once more by itself. Unguarded, three attempts of ours would be
// six on the wire.
func TestWireAttemptsAreCapped(t *testing.T) {
	for name, opts := range map[string][]onehop.CallOption{"idempotent": {onehop.Idempotent()}, "not idempotent": nil} {
		t.Run(name, func(t *testing.T) {
			raw := startRaw(t, func(c *rawConn, id uint32) { _ = c.WriteRSTStream(id, http2.ErrCodeRefusedStream) })
			hop, _ := hopTo(t, fast(), raw.addr())
			_, client := dial(t, hop)
			_, err := client.UnaryCall(call(t, "refused", opts...), &pb.SimpleRequest{})
			if status.Code(err) != codes.Unavailable {
				t.Errorf("got %v", err)
			}
			if errors.Is(err, errCapped) || status.Convert(err).Message() == status.Convert(errCapped).Message() {
				t.Errorf("the caller sees the Picker's refusal: %v", err)
			}
			if n := raw.seen(); n < 2 || n > 3 {
				t.Errorf("%d requests on the wire", n)
			}
		})
	}
}

func TestNoRetryIsOneOnTheWire(t *testing.T) {
	raw := startRaw(t, func(c *rawConn, id uint32) { _ = c.WriteRSTStream(id, http2.ErrCodeRefusedStream) })
	hop, _ := hopTo(t, fast(), raw.addr())
	_, client := dial(t, hop)
	_, err := client.UnaryCall(call(t, "one", onehop.Idempotent(), onehop.NoRetry()), &pb.SimpleRequest{})
	if status.Code(err) != codes.Unavailable || raw.seen() != 1 {
		t.Errorf("%d on the wire: %v", raw.seen(), err)
	}
}

// The connection goes away with GOAWAY while a stream is under way. What the server says it did not process goes to another
// connection, whatever the method; what it may have processed is nobody's to repeat.
func TestGoAwayMidStream(t *testing.T) {
	for name, c := range map[string]struct {
		processed bool
		want      codes.Code
		wire      int
	}{
		"unprocessed": {false, codes.OK, 2},
		"processed":   {true, codes.Unavailable, 1},
	} {
		t.Run(name, func(t *testing.T) {
			var conns atomic.Int32
			raw := startRaw(t, func(rc *rawConn, id uint32) {
				if rc.n == 1 && conns.Add(1) == 1 {
					last := uint32(0)
					if c.processed {
						last = id
					}
					_ = rc.WriteGoAway(last, http2.ErrCodeNo, nil)
					_ = rc.conn.Close()
					return
				}
				rc.whole(id) // what is answered before it is sent, grpc-go loses if it is a repetition of its own
				rc.ok(id)
			})
			hop, _ := hopTo(t, fast(), raw.addr())
			_, client := dial(t, hop)
			_, err := client.UnaryCall(call(t, "goaway"), &pb.SimpleRequest{}, grpc.WaitForReady(true))
			if status.Code(err) != c.want || raw.seen() != c.wire {
				t.Errorf("%d on the wire: %v", raw.seen(), err)
			}
		})
	}
}

// The handler books, and its process is gone before the answer: executed once, and the caller is told.
func TestBookedThenDied(t *testing.T) {
	for name, streaming := range map[string]bool{"unary": false, "stream": true} {
		t.Run(name, func(t *testing.T) {
			var l executions
			a, b := startServer(t, &l), startServer(t, &l)
			for _, s := range []*server{a, b} {
				s.unary = func(ctx context.Context, _ string, _ int) error { go s.kill(); <-ctx.Done(); return ctx.Err() }
			}
			hop, _ := hopTo(t, fast(), a.addr, b.addr)
			_, client := dial(t, hop)
			var err error
			if streaming {
				var stream grpc.ServerStreamingClient[pb.StreamingOutputCallResponse]
				if stream, err = client.StreamingOutputCall(call(t, name), &pb.StreamingOutputCallRequest{}); err == nil {
					_, err = stream.Recv()
				}
			} else {
				_, err = client.UnaryCall(call(t, name), &pb.SimpleRequest{})
			}
			if onehop.ReasonOf(err) != onehop.ReasonUnsafe || status.Code(err) != codes.Unavailable {
				t.Errorf("got %v", err)
			}
			if l.of(name) != 1 {
				t.Errorf("executed %d times", l.of(name))
			}
		})
	}
}

// steady makes calls one after the other until ctx ends, each fifth a short stream if there are to be any. Each must
// succeed.
func steady(ctx context.Context, t *testing.T, client pb.TestServiceClient, worker int, streams bool, opts ...onehop.CallOption) {
	t.Helper()
	for i := 0; ctx.Err() == nil; i++ {
		id := fmt.Sprintf("w%d-%d", worker, i)
		if !streams || i%5 != 0 {
			if _, err := client.UnaryCall(call(t, id, opts...), &pb.SimpleRequest{}); err != nil {
				t.Errorf("%s: %v", id, err)
			}
			continue
		}
		stream, err := client.FullDuplexCall(call(t, id, opts...))
		if err == nil {
			err = pingPong(stream, 3)
		}
		if err != nil {
			t.Errorf("stream %s: %v", id, err)
		}
	}
}

// One of three is killed under load and comes back: no idempotent call is lost.
func TestKillOneOfThreeUnderLoad(t *testing.T) {
	var l executions
	servers := []*server{startServer(t, &l), startServer(t, &l), startServer(t, &l)}
	hop, _ := hopTo(t, fast(), servers[0].addr, servers[1].addr, servers[2].addr)
	_, client := dial(t, hop)
	waitReady(t, client, servers...)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() { steady(ctx, t, client, w, false, onehop.Idempotent()) })
	}
	for _, s := range servers {
		s.after(100)
		s.kill()
		servers[0].others(servers, s).after(300)
		s.start()
		s.after(20) // it is back in use
	}
	cancel()
	wg.Wait()
}

// after waits until the server has served n more calls.
func (s *server) after(n int) {
	s.t.Helper()
	hung := time.After(time.Minute)
	for want := s.served() + n; ; {
		s.mu.Lock()
		if s.calls >= want {
			s.mu.Unlock()
			return
		}
		if s.more == nil {
			s.more = make(chan struct{})
		}
		more := s.more
		s.mu.Unlock()
		select {
		case <-more:
		case <-hung:
			s.t.Fatalf("%s got no calls", s.addr)
		}
	}
}

// others is one of the servers that is not s.
func (*server) others(all []*server, s *server) *server {
	for _, o := range all {
		if o != s {
			return o
		}
	}
	return nil
}

// Each of three is deregistered, drained and stopped, and started anew: no call is lost, idempotent or not.
func TestRollingRestart(t *testing.T) {
	var l executions
	servers := []*server{startServer(t, &l), startServer(t, &l), startServer(t, &l)}
	all := []string{servers[0].addr, servers[1].addr, servers[2].addr}
	hop, script := hopTo(t, fast(), all...)
	_, client := dial(t, hop)
	waitReady(t, client, servers...)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() { steady(ctx, t, client, w, true) })
	}
	for i, s := range servers {
		var rest []string
		rest = append(rest, all[:i]...)
		rest = append(rest, all[i+1:]...)
		script.set(rest...)
		servers[0].others(servers, s).after(100)
		s.drain()
		servers[0].others(servers, s).after(50)
		s.start()
		script.set(all...)
		s.after(20)
	}
	cancel()
	wg.Wait()
	if l.most() > 1 {
		t.Error("a call that is not idempotent was executed twice")
	}
}

// drain is how a server that is told to stop should.
func (s *server) drain() {
	s.mu.Lock()
	g := s.server
	s.mu.Unlock()
	g.GracefulStop()
}

// Servers are told how often the call was tried before, and what they say about retries binds (gRFC A6).
func TestServersAreToldOfPreviousAttempts(t *testing.T) {
	var l executions
	var mu sync.Mutex
	var told []string
	s := startServer(t, &l)
	s.unary = func(ctx context.Context, _ string, n int) error {
		md, _ := metadata.FromIncomingContext(ctx)
		mu.Lock()
		told = append(told, fmt.Sprint(md.Get(previousAttempts)))
		mu.Unlock()
		if n < 3 {
			return status.Error(codes.Unavailable, "not now")
		}
		return nil
	}
	hop, _ := hopTo(t, fast(), s.addr)
	_, client := dial(t, hop)
	if _, err := client.UnaryCall(call(t, "told", onehop.Idempotent()), &pb.SimpleRequest{}); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(told) != "[[] [1] [2]]" {
		t.Errorf("told %v", told)
	}
}

func TestPushback(t *testing.T) {
	for value, want := range map[string]int{"-1": 1, "soon": 1, "0": 2, "5": 2} {
		var l executions
		s := startServer(t, &l)
		s.unary = func(ctx context.Context, _ string, n int) error {
			if n > 1 {
				return nil
			}
			_ = grpc.SetTrailer(ctx, metadata.Pairs("grpc-retry-pushback-ms", value))
			return status.Error(codes.Unavailable, "not now")
		}
		p := fast()
		p.Retry.Backoff.Max = time.Second // it is waited for up to that
		hop, _ := hopTo(t, p, s.addr)
		_, client := dial(t, hop)
		_, err := client.UnaryCall(call(t, value, onehop.Idempotent()), &pb.SimpleRequest{})
		if l.of(value) != want || (err == nil) != (want == 2) {
			t.Errorf("pushback %s: executed %d times, %v", value, l.of(value), err)
		}
	}
}

// A unary answer that began with headers is committed (gRFC A6), even if it ends with an error.
func TestUnaryIsNotRetriedAfterHeaders(t *testing.T) {
	var l executions
	s := startServer(t, &l)
	s.unary = func(ctx context.Context, _ string, _ int) error {
		_ = grpc.SendHeader(ctx, metadata.Pairs("k", "v"))
		return status.Error(codes.Unavailable, "too late")
	}
	hop, _ := hopTo(t, fast(), s.addr)
	_, client := dial(t, hop)
	_, err := client.UnaryCall(call(t, "headers", onehop.Idempotent()), &pb.SimpleRequest{})
	if status.Convert(err).Message() != "too late" || l.of("headers") != 1 {
		t.Errorf("executed %d times: %v", l.of("headers"), err)
	}
}

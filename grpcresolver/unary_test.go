package grpcresolver

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/onehop-go/onehop"
	"github.com/onehop-go/onehop/policy"
)

func TestUnaryIsBalanced(t *testing.T) {
	var l executions
	a, b, c := startServer(t, &l), startServer(t, &l), startServer(t, &l)
	p := fast()
	p.LoadBalancing.Algorithm = policy.RoundRobin
	hop, _ := hopTo(t, p, a.addr, b.addr, c.addr)
	_, client := dial(t, hop)
	waitReady(t, client, a, b, c)
	before := []int{a.served(), b.served(), c.served()}
	for i := range 300 {
		if _, err := client.UnaryCall(call(t, fmt.Sprint("balanced", i)), &pb.SimpleRequest{}); err != nil {
			t.Fatal(err)
		}
	}
	for i, s := range []*server{a, b, c} {
		if got := s.served() - before[i]; got != 100 {
			t.Errorf("%s served %d of 300 calls in turns", s.addr, got)
		}
	}
}

// waitReady calls until every server has answered once.
func waitReady(t *testing.T, client pb.TestServiceClient, servers ...*server) {
	t.Helper()
	for i := 0; slices.ContainsFunc(servers, func(s *server) bool { return s.served() == 0 }); i++ {
		if _, err := client.UnaryCall(call(t, fmt.Sprint("warm", i)), &pb.SimpleRequest{}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestIdempotentIsRetriedElsewhere(t *testing.T) {
	var l executions
	bad, good := startServer(t, &l), startServer(t, &l)
	bad.unary = func(context.Context, string, int) error { return status.Error(codes.Unavailable, "not now") }
	hop, _ := hopTo(t, inTurns(), bad.addr, good.addr)
	_, client := dial(t, hop)
	for i := 0; i < 50 || bad.served() == 0; i++ { // until it is connected nobody asks the bad one
		if _, err := client.UnaryCall(call(t, fmt.Sprint("i", i), onehop.Idempotent()), &pb.SimpleRequest{}); err != nil {
			t.Fatal(i, err)
		}
	}
}

func TestNotIdempotentIsExecutedOnce(t *testing.T) {
	var l executions
	bad := startServer(t, &l)
	bad.unary = func(context.Context, string, int) error { return status.Error(codes.Unavailable, "not now") }
	hop, _ := hopTo(t, fast(), bad.addr)
	_, client := dial(t, hop)
	_, err := client.UnaryCall(call(t, "once"), &pb.SimpleRequest{})
	if status.Code(err) != codes.Unavailable || status.Convert(err).Message() != "not now" {
		t.Errorf("got %v, want the server's own status", err)
	}
	if e, ok := errors.AsType[*onehop.Error](err); ok {
		t.Errorf("a server's status came as %v", e)
	}
	if l.of("once") != 1 {
		t.Errorf("executed %d times", l.of("once"))
	}
}

func TestNobodyListens(t *testing.T) {
	var l executions
	s := startServer(t, &l)
	s.kill()
	hop, _ := hopTo(t, fast(), s.addr)
	_, client := dial(t, hop)
	_, err := client.UnaryCall(call(t, "nobody"), &pb.SimpleRequest{})
	var e *onehop.Error
	if !errors.As(err, &e) || e.Reason != onehop.ReasonExhausted && e.Reason != onehop.ReasonBudget {
		t.Fatalf("got %v", err)
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("%v does not say what the connection met", err)
	}
	if status.Code(err) != codes.Unavailable {
		t.Errorf("code %v", status.Code(err))
	}
	if len(e.Attempts) == 0 || e.Attempts[0].Endpoint.Addr != s.addr || e.Attempts[0].Outcome != onehop.OutcomeRefused {
		t.Errorf("attempts %+v", e.Attempts)
	}
}

func TestNoEndpoint(t *testing.T) {
	hop, _ := hopTo(t, fast())
	_, client := dial(t, hop)
	_, err := client.UnaryCall(call(t, "none"), &pb.SimpleRequest{})
	if onehop.ReasonOf(err) != onehop.ReasonNoEndpoints || status.Code(err) != codes.Unavailable {
		t.Errorf("got %v", err)
	}
	_, err = dialNative(t, hop).UnaryCall(call(t, "none"), &pb.SimpleRequest{})
	if status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), errNoEndpoints.Error()) {
		t.Errorf("scheme only: %v", err)
	}
}

func TestKilledServerIsLeft(t *testing.T) {
	var l executions
	a, b, c := startServer(t, &l), startServer(t, &l), startServer(t, &l)
	hop, _ := hopTo(t, fast(), a.addr, b.addr, c.addr)
	_, client := dial(t, hop)
	waitReady(t, client, a, b, c)
	for i := range 200 {
		if i == 50 {
			b.kill()
		}
		if i == 120 {
			b.start()
		}
		if _, err := client.UnaryCall(call(t, fmt.Sprint("k", i), onehop.Idempotent()), &pb.SimpleRequest{}); err != nil {
			t.Fatal(i, err)
		}
	}
}

func TestDeadlineOfTheCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l executions
		unary := func(ctx context.Context, _ string, _ int) error { <-ctx.Done(); return ctx.Err() }
		n := lay(t)
		n.add(t, "10.0.0.1:80", &server{ledger: &l, unary: unary})
		hop, _ := hopTo(t, fast(), "10.0.0.1:80")
		_, client := dial(t, hop, grpc.WithContextDialer(n.dial))
		ctx, cancel := context.WithTimeout(call(t, "late", onehop.Idempotent()), 50*time.Millisecond)
		defer cancel()
		_, err := client.UnaryCall(ctx, &pb.SimpleRequest{})
		if status.Code(err) != codes.DeadlineExceeded || onehop.ReasonOf(err) != onehop.ReasonDeadline || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if l.of("late") != 1 {
			t.Errorf("executed %d times", l.of("late"))
		}
	})
}

func TestCancelOfTheCaller(t *testing.T) {
	var l executions
	s := startServer(t, &l)
	ctx, cancel := context.WithCancel(call(t, "cancelled", onehop.Idempotent()))
	s.unary = func(ctx context.Context, _ string, _ int) error { cancel(); <-ctx.Done(); return ctx.Err() }
	hop, _ := hopTo(t, fast(), s.addr)
	_, client := dial(t, hop)
	_, err := client.UnaryCall(ctx, &pb.SimpleRequest{})
	if status.Code(err) != codes.Canceled || onehop.ReasonOf(err) != onehop.ReasonCanceled {
		t.Errorf("got %v", err)
	}
}

func TestAttemptTimeoutMovesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l executions
		unary := func(ctx context.Context, _ string, n int) error {
			if n == 1 {
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		}
		p := fast()
		p.AttemptTimeout = 50 * time.Millisecond
		n := lay(t)
		n.add(t, "10.0.0.1:80", &server{ledger: &l, unary: unary})
		hop, _ := hopTo(t, p, "10.0.0.1:80")
		_, client := dial(t, hop, grpc.WithContextDialer(n.dial))
		if _, err := client.UnaryCall(call(t, "slow", onehop.Idempotent()), &pb.SimpleRequest{}); err != nil {
			t.Fatal(err)
		}
		if l.of("slow") != 2 {
			t.Errorf("executed %d times", l.of("slow"))
		}
	})
}

func TestTimeoutOfThePolicy(t *testing.T) {
	var l executions
	s := startServer(t, &l)
	s.unary = func(ctx context.Context, _ string, _ int) error { <-ctx.Done(); return ctx.Err() }
	p := fast()
	p.Timeout = 50 * time.Millisecond
	hop, _ := hopTo(t, p, s.addr)
	_, client := dial(t, hop)
	_, err := client.UnaryCall(call(t, "over"), &pb.SimpleRequest{})
	if status.Code(err) != codes.DeadlineExceeded || onehop.ReasonOf(err) != onehop.ReasonDeadline {
		t.Errorf("got %v", err)
	}
}

// A backend that comes up after many attempt timeouts: an attempt that never got a pick is none.
func TestWaitForReadyOutlastsAttemptTimeouts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l executions
		p := fast()
		p.AttemptTimeout = 20 * time.Millisecond
		hop, _ := hopTo(t, p, "10.0.0.1:80")
		n := lay(t)
		_, client := dial(t, hop, grpc.WithContextDialer(n.dial))
		ended := make(chan error, 1)
		go func() {
			_, err := client.UnaryCall(call(t, "patient", onehop.Idempotent()), &pb.SimpleRequest{}, grpc.WaitForReady(true))
			ended <- err
		}()
		time.Sleep(50 * p.AttemptTimeout)
		synctest.Wait()
		select {
		case err := <-ended:
			t.Fatalf("ended before the server was up: %v", err)
		default:
		}
		n.add(t, "10.0.0.1:80", &server{ledger: &l, addr: "late"})
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		if l.of("patient") != 1 {
			t.Errorf("executed %d times", l.of("patient"))
		}
	})
}

// Where nobody is listed a call that waits for ready waits for somebody to be, of any kind.
func TestWaitForReadyOutlastsAnEmptyList(t *testing.T) {
	for mode, dial := range modes {
		t.Run(mode, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := lay(t, "10.0.0.1:80=a")
				hop, script := hopTo(t, fast())
				_, client := dial(t, hop, grpc.WithContextDialer(n.dial))
				ended := make(chan error, 2)
				go func() {
					_, err := client.UnaryCall(call(t, "unary"), &pb.SimpleRequest{}, grpc.WaitForReady(true))
					ended <- err
				}()
				go func() {
					stream, err := client.FullDuplexCall(call(t, "stream"), grpc.WaitForReady(true))
					if err == nil {
						err = pingPong(stream, 3)
					}
					ended <- err
				}()
				time.Sleep(10 * time.Second)
				synctest.Wait()
				if len(ended) > 0 {
					t.Fatalf("ended before there was anybody: %v", <-ended)
				}
				script.set("10.0.0.1:80")
				for range 2 {
					if err := <-ended; err != nil {
						t.Error(err)
					}
				}
			})
		})
	}
}

func TestCloseEndsCallsInFlight(t *testing.T) {
	var l executions
	s := startServer(t, &l)
	begun := make(chan struct{})
	s.unary = func(ctx context.Context, _ string, _ int) error { close(begun); <-ctx.Done(); return ctx.Err() }
	hop, _ := hopTo(t, fast(), s.addr)
	_, client := dial(t, hop)
	go func() { <-begun; _ = hop.Close() }()
	_, err := client.UnaryCall(call(t, "closing"), &pb.SimpleRequest{})
	if onehop.ReasonOf(err) != onehop.ReasonClosed {
		t.Errorf("got %v", err)
	}
}

func TestCloseEndsCallsThatWait(t *testing.T) {
	var l executions
	s := startServer(t, &l)
	s.kill()
	hop, _ := hopTo(t, fast(), s.addr)
	conn, client := dial(t, hop)
	failed := make(chan error, 1)
	go func() {
		_, err := client.UnaryCall(call(t, "waiting"), &pb.SimpleRequest{}, grpc.WaitForReady(true))
		failed <- err
	}()
	reach(t, conn, connectivity.TransientFailure)
	_ = hop.Close()
	if err := <-failed; onehop.ReasonOf(err) != onehop.ReasonClosed {
		t.Errorf("got %v", err)
	}
}

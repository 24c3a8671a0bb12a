package grpcresolver

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"

	"google.golang.org/grpc"
	pb "google.golang.org/grpc/interop/grpc_testing"

	"github.com/onehop-go/onehop"
	"github.com/onehop-go/onehop/policy"
	"github.com/onehop-go/onehop/resolver"
)

// seen is what an observer heard of attempts, by the number of the call and the attempt.
type seen struct {
	mu    sync.Mutex
	began []string
	ended []string
}

func (s *seen) observer() onehop.Option {
	return onehop.WithObserver(onehop.Observer{
		AttemptStart: func(ctx context.Context, a onehop.Attempt) context.Context {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.began = append(s.began, a.Endpoint.Addr)
			return ctx
		},
		AttemptDone: func(_ context.Context, a onehop.Attempt) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.ended = append(s.ended, a.Endpoint.Addr)
		},
	})
}

// The observer hears at the start of an attempt where it goes, once connections are ready; it is there that it goes.
func TestAttemptStartKnowsTheEndpoint(t *testing.T) {
	var l executions
	a, b := startServer(t, &l), startServer(t, &l)
	var heard seen
	hop, err := onehop.New(onehop.WithResolver(resolver.Static{"inventory": {a.addr, b.addr}}), onehop.WithPolicies(policy.Static{"inventory": inTurns()}),
		onehop.WithLogger(slog.New(slog.DiscardHandler)), heard.observer())
	if err != nil {
		t.Fatal(err)
	}
	defer hop.Close() //nolint:errcheck // a test's
	_, client := dial(t, hop)
	for warm := map[string]bool{}; len(warm) < 2; {
		warm[who(t, client, fmt.Sprint("warm", len(warm)))] = true
	}
	heard.mu.Lock()
	if heard.began[0] != "" {
		t.Errorf("the first attempt knew %q before there was a connection", heard.began[0])
	}
	heard.began, heard.ended = nil, nil
	heard.mu.Unlock()
	var went []string
	for i := range 20 {
		went = append(went, who(t, client, fmt.Sprint(i)))
	}
	stream, err := client.FullDuplexCall(call(t, "s", onehop.Idempotent()), grpc.WaitForReady(true))
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&pb.StreamingOutputCallRequest{}); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	heard.mu.Lock()
	defer heard.mu.Unlock()
	if len(heard.began) != 21 || heard.began[20] == "" {
		t.Fatalf("%d attempts began: %q", len(heard.began), heard.began)
	}
	share := map[string]int{}
	for i, addr := range went {
		if share[addr]++; heard.began[i] != addr || heard.ended[i] != addr {
			t.Errorf("call %d went to %s; the observer heard %q at its start and %q at its end", i, addr, heard.began[i], heard.ended[i])
		}
	}
	if share[a.addr] != 10 {
		t.Errorf("%v: picks were counted twice", share)
	}
}

// What was picked ahead and is gone when the Picker is asked is picked anew, and nothing of it stays in flight.
func TestPickedAheadAndGone(t *testing.T) {
	var l executions
	a, b := startServer(t, &l), startServer(t, &l)
	var heard seen
	hop, err := onehop.New(onehop.WithResolver(resolver.Static{"inventory": {a.addr, b.addr}}), onehop.WithPolicies(policy.Static{"inventory": fast()}),
		onehop.WithLogger(slog.New(slog.DiscardHandler)), heard.observer())
	if err != nil {
		t.Fatal(err)
	}
	defer hop.Close() //nolint:errcheck // a test's
	l1 := newLink(hop)
	_, client := dial(t, hop)
	for warm := map[string]bool{}; len(warm) < 2; {
		warm[who(t, client, fmt.Sprint("warm", len(warm)))] = true
	}
	a.kill()
	for i := range 50 {
		r, err := client.UnaryCall(call(t, fmt.Sprint(i), onehop.Idempotent()), &pb.SimpleRequest{})
		if err != nil || r.GetServerId() != b.addr {
			t.Fatal(i, r.GetServerId(), err)
		}
	}
	for _, e := range l1.upstream("consul:///inventory").up.Set().View().All {
		if n := e.InFlight(); n != 0 {
			t.Errorf("%d attempts at %s are still in flight", n, e.Addr())
		}
	}
}

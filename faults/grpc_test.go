package faults

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"

	"github.com/onehop-go/onehop"
	"github.com/onehop-go/onehop/grpcresolver"
	"github.com/onehop-go/onehop/internal/consultest"
	"github.com/onehop-go/onehop/policy"
)

// dialGRPC is a client of service pay through hop.
func dialGRPC(t *testing.T, hop *onehop.Client) pb.TestServiceClient {
	t.Helper()
	return dialService(t, hop, "pay")
}

func dialService(t *testing.T, hop *onehop.Client, name string) pb.TestServiceClient {
	t.Helper()
	conn, err := grpcresolver.NewClient(hop, name, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return pb.NewTestServiceClient(conn)
}

func TestRow75ProcessDiesAfterBooking(t *testing.T) {
	t.Parallel()
	row(t, 75)
	all, list := startBookings(t, 3)
	client := dialGRPC(t, static(t, policy.Default(), list))
	one := func(id string, die bool, idempotent bool) error {
		ctx, cancel := context.WithTimeout(t.Context(), deadline)
		defer cancel()
		ctx = metadata.AppendToOutgoingContext(ctx, "id", id)
		if die {
			ctx = metadata.AppendToOutgoingContext(ctx, "die", "yes")
		}
		if idempotent {
			ctx = onehop.With(ctx, onehop.Idempotent())
		}
		_, err := client.UnaryCall(ctx, &pb.SimpleRequest{})
		return err
	}
	for i := range 30 {
		if err := one(fmt.Sprint("warm-", i), false, false); err != nil {
			t.Fatal(err)
		}
	}
	const id = "charge-the-card"
	err := one(id, true, false)
	if onehop.ReasonOf(err) != onehop.ReasonUnsafe {
		t.Errorf("got %v; want an error with reason unsafe", err)
	}
	by := booked(t, all)
	figuref(t, "executions %d, and an error that says why it was not repeated", by[id])
	if by[id] != 1 {
		t.Errorf("executed %d times; want once", by[id])
	}
	// What may be executed twice goes on with the survivors.
	for i := range 30 {
		if err := one(fmt.Sprint("read-", i), false, true); err != nil {
			t.Errorf("read %d: %v", i, err)
		}
	}
	if d := doubles(booked(t, all)); d != 0 {
		t.Errorf("%d calls were executed twice", d)
	}
}

func TestRow80WaitForReady(t *testing.T) {
	t.Parallel()
	row(t, 80)
	p := policy.Default()
	p.AttemptTimeout = 100 * time.Millisecond
	addr := consultest.Addr(t)
	client := dialGRPC(t, static(t, p, []string{addr}))
	served := make(chan error, 1)
	var mu sync.Mutex
	calls := 0
	s := grpc.NewServer(grpc.UnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, h grpc.UnaryHandler) (any, error) {
		mu.Lock()
		calls++
		mu.Unlock()
		return h(ctx, req)
	}))
	pb.RegisterTestServiceServer(s, empty{})
	later := time.AfterFunc(700*time.Millisecond, func() {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			served <- err
			return
		}
		served <- s.Serve(l)
	})
	t.Cleanup(func() {
		s.Stop()
		if !later.Stop() {
			if err := <-served; err != nil {
				t.Log(err)
			}
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	start := time.Now()
	_, err := client.EmptyCall(ctx, &pb.Empty{}, grpc.WaitForReady(true))
	if err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	figuref(t, "%d attempt on the wire, answered after %s", calls, time.Since(start).Round(time.Millisecond))
	if calls != 1 {
		t.Errorf("%d attempts on the wire; want 1", calls)
	}
}

// empty answers EmptyCall.
type empty struct {
	pb.UnimplementedTestServiceServer
}

func (empty) EmptyCall(context.Context, *pb.Empty) (*pb.Empty, error) { return &pb.Empty{}, nil }

// seconds is how long a row's traffic flows: a short form, or the whole with ONEHOP_FAULTS=long.
func seconds(short, whole int) int {
	if long() {
		return whole
	}
	return short
}

// driveGRPC begins traffic of one kind of call after the other.
func driveGRPC(t *testing.T, client pb.TestServiceClient, rps int, kinds []kind, opts ...onehop.CallOption) *traffic {
	t.Helper()
	return driveBy(t, rps, func(ctx context.Context) outcome {
		n := callIDs.Add(1)
		o := outcome{id: fmt.Sprint("call-", n)}
		start := time.Now()
		k := kinds[int(n)%len(kinds)]
		if o.err = k.call(metadata.AppendToOutgoingContext(onehop.With(ctx, opts...), "id", o.id), client); o.err != nil {
			o.err = fmt.Errorf("%s: %w", k.name, o.err)
		}
		o.took = time.Since(start)
		return o
	})
}

// One of three is killed, and comes back, under 500 idempotent calls a second.
func TestRow28GRPCServerKilled(t *testing.T) {
	t.Parallel()
	row(t, 28)
	unslowed(t)
	all, list := startBookings(t, 3)
	client := dialGRPC(t, static(t, policy.Default(), list))
	third := 500 * seconds(1, 10)
	tr := driveGRPC(t, client, 500, unaryKind, onehop.Idempotent())
	tr.more(third)
	all[1].kill()
	tr.more(third)
	all[1].start()
	at := all[1].entries()
	tr.more(third)
	await(t, "calls to the one that came back", func() bool { return all[1].entries() > at })
	tr.stop().wantNoneFailed(t)
}

// Each of three is deregistered, drained and stopped, and started anew, under calls of all kinds that may not be executed twice.
func TestRow41GRPCRollingRestart(t *testing.T) {
	t.Parallel()
	row(t, 41)
	a := agent(t)
	name := consultest.Name(t, "rolling")
	all, _ := startBookings(t, 3)
	ids := make([]string, len(all))
	for i, b := range all {
		ids[i] = a.Register(t, serviceAt(name, b.addr))
	}
	client := dialService(t, consulHop(t, a), name)
	tr := driveGRPC(t, client, 100, allKinds)
	for i, b := range all {
		tr.more(100 * seconds(1, 10))
		a.Deregister(t, ids[i])
		b.drain()
		tr.more(100 * seconds(1, 5))
		at := b.entries()
		b.start()
		a.Register(t, serviceAt(name, b.addr))
		await(t, "calls to the one that came back", func() bool { return b.entries() > at })
	}
	tr.stop().wantNoneFailed(t)
	if d := doubles(booked(t, all)); d != 0 {
		t.Errorf("%d calls were executed twice", d)
	}
}

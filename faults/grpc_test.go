package faults

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
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

// booking is a gRPC service that writes each call into a file before it answers: what it has executed is known even
// after its process was killed. A call with the metadata "die" ends the process between the two.
type booking struct {
	pb.UnimplementedTestServiceServer
	mu   sync.Mutex
	book *os.File
}

func (b *booking) UnaryCall(ctx context.Context, _ *pb.SimpleRequest) (*pb.SimpleResponse, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	b.mu.Lock()
	_, err := fmt.Fprintln(b.book, strings.Join(md.Get("id"), ""))
	b.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if len(md.Get("die")) > 0 {
		p, _ := os.FindProcess(os.Getpid())
		_ = p.Kill() // SIGKILL: no connection is closed in order, no answer leaves
		select {}
	}
	return &pb.SimpleResponse{}, nil
}

// Variables by which this binary becomes a booking service.
const (
	envBookingAddr = "ONEHOP_FAULTS_BOOKING_ADDR"
	envBookingFile = "ONEHOP_FAULTS_BOOKING_FILE"
)

func init() {
	if addr := os.Getenv(envBookingAddr); addr != "" {
		fmt.Fprintln(os.Stderr, serveBooking(addr, os.Getenv(envBookingFile)))
		os.Exit(1)
	}
}

func serveBooking(addr, file string) error {
	book, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	s := grpc.NewServer()
	pb.RegisterTestServiceServer(s, &booking{book: book})
	return s.Serve(l)
}

// bookingProcess is a booking service in a process of its own.
type bookingProcess struct {
	t    *testing.T
	addr string
	book string
	proc *consultest.Process
}

func startBooking(t *testing.T) *bookingProcess {
	t.Helper()
	b := &bookingProcess{t: t, addr: closedAddr(t), book: filepath.Join(t.TempDir(), "book")}
	b.start()
	t.Cleanup(func() { _ = b.proc.Kill() })
	return b
}

func (b *bookingProcess) start() {
	b.t.Helper()
	self, err := os.Executable()
	if err != nil {
		b.t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), envBookingAddr+"="+b.addr, envBookingFile+"="+b.book)
	if b.proc, err = consultest.StartProcess(cmd); err != nil {
		b.t.Fatal(err)
	}
	await(b.t, "the gRPC service", func() bool {
		c, err := net.DialTimeout("tcp", b.addr, time.Second)
		if err != nil {
			return false
		}
		return c.Close() == nil
	})
}

// booked is how often each call was executed, over all processes.
func booked(t *testing.T, all []*bookingProcess) map[string]int {
	t.Helper()
	by := map[string]int{}
	for _, b := range all {
		f, err := os.Open(b.book)
		if err != nil {
			continue
		}
		for lines := bufio.NewScanner(f); lines.Scan(); {
			by[lines.Text()]++
		}
		_ = f.Close()
	}
	return by
}

// dialGRPC is a client of service pay through hop.
func dialGRPC(t *testing.T, hop *onehop.Client) pb.TestServiceClient {
	t.Helper()
	conn, err := grpcresolver.NewClient(hop, "pay", grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return pb.NewTestServiceClient(conn)
}

func TestRow75ProcessDiesAfterBooking(t *testing.T) {
	t.Parallel()
	row(t, 75)
	var all []*bookingProcess
	var list []string
	for range 3 {
		b := startBooking(t)
		all, list = append(all, b), append(list, b.addr)
	}
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
	addr := closedAddr(t)
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

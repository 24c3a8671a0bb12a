package faults

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"

	"github.com/onehop-go/onehop/internal/consultest"
)

// booking is a gRPC service that writes each call into a file before it answers: what it has executed is known even
// after its process was killed. What a call's metadata may ask for:
//
//   - "die": the process ends between the two, if this is the call's first attempt
//   - "hold": so many messages of a FullDuplexCall are read before the first answer
type booking struct {
	pb.UnimplementedTestServiceServer
	mu   sync.Mutex
	book *os.File
}

// enter books a call.
func (b *booking) enter(ctx context.Context) error {
	md, _ := metadata.FromIncomingContext(ctx)
	b.mu.Lock()
	_, err := fmt.Fprintln(b.book, strings.Join(md.Get("id"), ""))
	b.mu.Unlock()
	if err != nil {
		return err
	}
	if len(md.Get("die")) > 0 && len(md.Get("grpc-previous-rpc-attempts")) == 0 {
		p, _ := os.FindProcess(os.Getpid())
		_ = p.Kill() // SIGKILL: no connection is closed in order, no answer leaves
		select {}
	}
	return nil
}

func (b *booking) UnaryCall(ctx context.Context, in *pb.SimpleRequest) (*pb.SimpleResponse, error) {
	if err := b.enter(ctx); err != nil {
		return nil, err
	}
	return &pb.SimpleResponse{Payload: in.GetPayload()}, nil
}

// StreamingInputCall answers with the size of all it got.
func (b *booking) StreamingInputCall(s grpc.ClientStreamingServer[pb.StreamingInputCallRequest, pb.StreamingInputCallResponse]) error {
	if err := b.enter(s.Context()); err != nil {
		return err
	}
	size := 0
	for {
		in, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return s.SendAndClose(&pb.StreamingInputCallResponse{AggregatedPayloadSize: int32(size)})
		}
		if err != nil {
			return err
		}
		size += len(in.GetPayload().GetBody())
	}
}

// StreamingOutputCall sends messages of the sizes it was asked for.
func (b *booking) StreamingOutputCall(in *pb.StreamingOutputCallRequest, s grpc.ServerStreamingServer[pb.StreamingOutputCallResponse]) error {
	if err := b.enter(s.Context()); err != nil {
		return err
	}
	for _, p := range in.GetResponseParameters() {
		if err := s.Send(&pb.StreamingOutputCallResponse{Payload: &pb.Payload{Body: make([]byte, p.GetSize())}}); err != nil {
			return err
		}
	}
	return nil
}

// FullDuplexCall answers each message with its payload, in order.
func (b *booking) FullDuplexCall(s grpc.BidiStreamingServer[pb.StreamingOutputCallRequest, pb.StreamingOutputCallResponse]) error {
	if err := b.enter(s.Context()); err != nil {
		return err
	}
	md, _ := metadata.FromIncomingContext(s.Context())
	hold, _ := strconv.Atoi(strings.Join(md.Get("hold"), ""))
	var held []*pb.Payload
	for n := 1; ; n++ {
		in, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if held = append(held, in.GetPayload()); n < hold {
			continue
		}
		for _, p := range held {
			if err := s.Send(&pb.StreamingOutputCallResponse{Payload: p}); err != nil {
				return err
			}
		}
		held = nil
	}
}

// Variables by which this binary becomes a booking service.
const (
	envBookingAddr = "ONEHOP_FAULTS_BOOKING_ADDR"
	envBookingFile = "ONEHOP_FAULTS_BOOKING_FILE"
)

func init() {
	if addr := os.Getenv(envBookingAddr); addr != "" {
		if err := serveBooking(addr, os.Getenv(envBookingFile)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
}

// serveBooking serves until it is told to stop, and then drains: it takes nothing new, and ends what runs.
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
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	drained := make(chan struct{})
	go func() {
		<-stop
		s.GracefulStop()
		close(drained)
	}()
	err = s.Serve(l)
	<-drained
	return err
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
	addr, release, err := consultest.FreeAddr()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(release)
	b := &bookingProcess{t: t, addr: addr, book: filepath.Join(t.TempDir(), "book")}
	b.start()
	t.Cleanup(b.kill)
	return b
}

// startBookings starts n of them.
func startBookings(t *testing.T, n int) (all []*bookingProcess, addrs []string) {
	t.Helper()
	for range n {
		b := startBooking(t)
		all, addrs = append(all, b), append(addrs, b.addr)
	}
	return all, addrs
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

func (b *bookingProcess) kill() { _ = b.proc.Kill() }

// drain tells it to stop, and waits until it has.
func (b *bookingProcess) drain() {
	b.t.Helper()
	if err := b.proc.Stop(deadline); err != nil {
		b.t.Error(err)
	}
}

// entries is how many calls it has executed.
func (b *bookingProcess) entries() (n int) {
	for _, times := range booked(b.t, []*bookingProcess{b}) {
		n += times
	}
	return n
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

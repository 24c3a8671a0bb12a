package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	grpcstatus "google.golang.org/grpc/status"

	"github.com/onehop-go/onehop"
	"github.com/onehop-go/onehop/grpcresolver"
	"github.com/onehop-go/onehop/internal/consultest"
	"github.com/onehop-go/onehop/policy"
	"github.com/onehop-go/onehop/resolver"
)

// once is a ledger of calls that must not be executed twice, in memory that does not grow: a bit for each number.
type once struct {
	bits  []atomic.Uint64
	next  atomic.Int64
	twice atomic.Int64
}

func newOnce(most int) *once { return &once{bits: make([]atomic.Uint64, most/64+1)} }

// ticket is the number of a new call.
func (o *once) ticket() string { return strconv.FormatInt(o.next.Add(1), 10) }

func (o *once) execute(ticket string) {
	n, err := strconv.Atoi(ticket)
	if err != nil || n/64 >= len(o.bits) {
		return
	}
	if bit := uint64(1) << (n % 64); o.bits[n/64].Or(bit)&bit != 0 {
		o.twice.Add(1)
	}
}

// ailing is an HTTP server and a gRPC server of one address each, with a fault that comes and goes.
type ailing struct {
	*server
	grpcAddr string
	fault    atomic.Int32
	once     *once
	pb.UnimplementedTestServiceServer
	mu   sync.Mutex
	grpc *grpc.Server
}

// The faults of the soak.
const (
	well int32 = iota
	unavailable
	resetting
	sluggish
	dead
	faultKinds
)

func newAiling(t *testing.T, o *once) *ailing {
	t.Helper()
	a := &ailing{server: newServer(t), grpcAddr: consultest.Addr(t), once: o}
	a.behave(func(w http.ResponseWriter, r *http.Request) {
		switch a.fault.Load() {
		case unavailable:
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		case sluggish:
			after(30*time.Millisecond)(w, r)
		}
		if r.Method == http.MethodPost {
			a.once.execute(r.Header.Get(consultest.CallIDHeader))
		}
		if a.fault.Load() == resetting {
			panic(http.ErrAbortHandler)
		}
	})
	a.serveGRPC()
	t.Cleanup(func() { a.grpc.Stop() })
	return a
}

func (a *ailing) serveGRPC() {
	l, err := net.Listen("tcp", a.grpcAddr)
	if err != nil {
		a.t.Error(err)
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.grpc = grpc.NewServer()
	pb.RegisterTestServiceServer(a.grpc, a)
	go func(s *grpc.Server) { _ = s.Serve(l) }(a.grpc)
}

// UnaryCall is to gRPC what the HTTP handler is: refused, late, or booked and then lost.
func (a *ailing) UnaryCall(ctx context.Context, in *pb.SimpleRequest) (*pb.SimpleResponse, error) {
	switch a.fault.Load() {
	case unavailable:
		return nil, grpcstatus.Error(codes.Unavailable, "ailing")
	case sluggish:
		pause(ctx, 30*time.Millisecond)
	}
	if md, _ := metadata.FromIncomingContext(ctx); len(md.Get("ticket")) > 0 {
		a.once.execute(md.Get("ticket")[0])
	}
	if a.fault.Load() == resetting {
		return nil, grpcstatus.Error(codes.Unavailable, "booked, and lost")
	}
	return &pb.SimpleResponse{Payload: in.GetPayload()}, nil
}

// pause waits d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// ail brings a fault about for d.
func (a *ailing) ail(ctx context.Context, fault int32, d time.Duration) {
	a.fault.Store(fault)
	if fault == dead {
		a.kill()
		a.mu.Lock()
		a.grpc.Stop()
		a.mu.Unlock()
	}
	pause(ctx, d)
	if fault == dead {
		a.start()
		a.serveGRPC()
	}
	a.fault.Store(well)
}

// soak is clients of both protocols at work while servers fall ill at random.
type soak struct {
	t       *testing.T
	servers []*ailing
	tickets *once
	avoided map[string]*atomic.Int64 // endpoints that are avoided now, by service

	length time.Duration // 0: until calls were made
	calls  int64
	start  time.Time

	http, grpc, failed atomic.Int64
	wg                 sync.WaitGroup
}

// newSoak is as long as ONEHOP_SOAK says: a duration such as 2m, or a number of calls such as 10000000.
func newSoak(t *testing.T) *soak {
	t.Helper()
	s := &soak{t: t, tickets: newOnce(1 << 27), avoided: map[string]*atomic.Int64{"web": {}, "pay": {}}}
	text := os.Getenv("ONEHOP_SOAK")
	if text == "" {
		t.Skip("it needs ONEHOP_SOAK, a duration such as 2m or a number of calls")
	}
	var err error
	if s.calls, err = strconv.ParseInt(text, 10, 64); err != nil {
		if s.length, err = time.ParseDuration(text); err != nil {
			t.Fatal("ONEHOP_SOAK is neither a duration nor a number of calls: ", err)
		}
	}
	for range 8 {
		s.servers = append(s.servers, newAiling(t, s.tickets))
	}
	return s
}

// option follows who is avoided: it explains a call that failed.
func (s *soak) option() onehop.Option {
	return onehop.WithObserver(onehop.Observer{Decided: func(_ context.Context, d onehop.Decision) {
		switch d.Action {
		case "open":
			s.avoided[d.Target.Service].Add(1)
		case "close":
			s.avoided[d.Target.Service].Add(-1)
		}
	}})
}

// done is the part that is over, 1 at the end.
func (s *soak) done() float64 {
	if s.length > 0 {
		return time.Since(s.start).Seconds() / s.length.Seconds()
	}
	return float64(s.http.Load()+s.grpc.Load()) / float64(s.calls)
}

// work makes n callers that call one after the other until the end. A call whose failure counts returns it.
func (s *soak) work(n int, count *atomic.Int64, one func() error) {
	for range n {
		s.wg.Go(func() {
			for s.done() < 1 {
				count.Add(1)
				if err := one(); err != nil && s.failed.Add(1) <= 5 {
					s.t.Logf("%q: %v; avoided: %d of web, %d of pay", onehop.ReasonOf(err), err, s.avoided["web"].Load(), s.avoided["pay"].Load())
				}
			}
		})
	}
}

// begin sets the callers and the faults to work. Of those who may be repeated none may fail; the others may, and must
// never be executed twice.
func (s *soak) begin(ctx context.Context, web *http.Client, stub pb.TestServiceClient) {
	s.start = time.Now()
	s.work(8, &s.http, func() error {
		o := plainCall(web, http.MethodGet, "http://web/", "")
		if o.err == nil && !o.ok() {
			return fmt.Errorf("status %d", o.status)
		}
		return o.err
	})
	s.work(4, &s.grpc, func() error {
		_, err := stub.UnaryCall(onehop.With(context.Background(), onehop.Idempotent()), &pb.SimpleRequest{})
		return err
	})
	s.work(2, &s.http, func() error { plainCall(web, http.MethodPost, "http://web/", s.tickets.ticket()); return nil })
	s.work(2, &s.grpc, func() error {
		_, _ = stub.UnaryCall(metadata.AppendToOutgoingContext(context.Background(), "ticket", s.tickets.ticket()), &pb.SimpleRequest{})
		return nil
	})
	s.wg.Go(func() {
		for s.done() < 1 {
			s.servers[rand.IntN(len(s.servers))].ail(ctx, 1+rand.Int32N(faultKinds-1), 200*time.Millisecond)
			pause(ctx, time.Second) // so that at any time most are well, known to be or not
		}
	})
}

// heapAt is the heap once a part of the soak is over, without the ledger.
func (s *soak) heapAt(part float64) int64 {
	for s.done() < part {
		pause(s.t.Context(), 50*time.Millisecond)
	}
	return calm() - int64(len(s.tickets.bits)*8)
}

// Not parallel: it looks at the heap and the goroutines of the whole process.
func TestSoak(t *testing.T) {
	s := newSoak(t)
	var web, rpc []string
	for _, a := range s.servers {
		web, rpc = append(web, a.addr), append(rpc, a.grpcAddr)
	}
	goroutines := runtime.NumGoroutine()
	hop := newHop(t, onehop.WithResolver(resolver.Static{"web": web, "pay": rpc}), onehop.WithPolicies(policy.Static{}), s.option())
	client := webOf(t, hop)
	conn, err := grpcresolver.NewClient(hop, "pay", grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	s.begin(t.Context(), client, pb.NewTestServiceClient(conn))
	early := s.heapAt(.25)
	late := s.heapAt(.95)
	s.wg.Wait()
	took, calls := time.Since(s.start), s.http.Load()+s.grpc.Load()
	drift := 100 * (float64(late)/float64(early) - 1)
	figuref(t, "%d calls over HTTP and %d over gRPC in %s: %d that may be repeated failed, %d executed twice, heap %.1f MiB, drift %+.1f %%",
		s.http.Load(), s.grpc.Load(), took.Round(time.Second), s.failed.Load(), s.tickets.twice.Load(), float64(late)/(1<<20), drift)
	if s.tickets.twice.Load() != 0 {
		t.Errorf("%d calls were executed twice", s.tickets.twice.Load())
	}
	if s.failed.Load() > calls/100_000 {
		t.Errorf("%d of %d calls failed", s.failed.Load(), calls)
	}
	if drift > 5 && late-early > 2<<20 { // 5 % of so little is less than what a collection leaves by chance
		t.Errorf("the heap drifts by %.1f %%", drift)
	}
	client.CloseIdleConnections()
	if err := errors.Join(conn.Close(), hop.Close()); err != nil {
		t.Error(err)
	}
	s.nothingLeft(goroutines)
}

// nothingLeft judges what is there after Close: no connection stands, and no goroutine more than before.
func (s *soak) nothingLeft(before int) {
	s.t.Helper()
	standing, goroutines := 0, 0
	await(s.t, "everything is closed", func() bool {
		standing, goroutines = 0, runtime.NumGoroutine()
		for _, a := range s.servers {
			_, open := a.dialled()
			standing += open
		}
		return standing == 0 && goroutines <= before
	})
	figuref(s.t, "after Close: %d connections, %d goroutines of %d before", standing, goroutines, before)
}

// calm is the heap as the least of some looks: what is in flight comes and goes.
func calm() int64 {
	var looks []int64
	for range 9 {
		looks = append(looks, heap())
		time.Sleep(50 * time.Millisecond)
	}
	return slices.Min(looks)
}

// plainCall is one call whose id goes into the ledger; "": none.
func plainCall(web *http.Client, method, url, id string) outcome {
	req, err := http.NewRequestWithContext(context.Background(), method, url, nil)
	if err != nil {
		return outcome{err: err}
	}
	if id != "" {
		req.Header.Set(consultest.CallIDHeader, id)
	}
	resp, err := web.Do(req)
	if err != nil {
		return outcome{err: err}
	}
	_ = resp.Body.Close()
	return outcome{status: resp.StatusCode}
}

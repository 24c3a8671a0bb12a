package faults

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"

	"github.com/onehop-go/onehop"
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
	a := &ailing{server: newServer(t), grpcAddr: closedAddr(t), once: o}
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

func (a *ailing) UnaryCall(ctx context.Context, in *pb.SimpleRequest) (*pb.SimpleResponse, error) {
	if md, _ := metadata.FromIncomingContext(ctx); len(md.Get("ticket")) > 0 {
		a.once.execute(md.Get("ticket")[0])
	}
	return &pb.SimpleResponse{Payload: in.GetPayload()}, nil
}

// ail brings a fault about for d.
func (a *ailing) ail(fault int32, d time.Duration) {
	a.fault.Store(fault)
	if fault == dead {
		a.kill()
		a.mu.Lock()
		a.grpc.Stop()
		a.mu.Unlock()
	}
	time.Sleep(d)
	if fault == dead {
		a.start()
		a.serveGRPC()
	}
	a.fault.Store(well)
}

// soakTime is how long the soak runs; 0: not at all. `ONEHOP_SOAK=2m` is what continuous integration does, an hour makes
// 10 million calls.
func soakTime() time.Duration {
	d, _ := time.ParseDuration(os.Getenv("ONEHOP_SOAK"))
	return d
}

// Not parallel: it looks at the heap of the whole process.
func TestSoak(t *testing.T) {
	length := soakTime()
	if length == 0 {
		t.Skip("set ONEHOP_SOAK to a duration such as 2m")
	}
	tickets := newOnce(1 << 27)
	var all []*ailing
	var web, rpc []string
	for range 8 {
		a := newAiling(t, tickets)
		all, web, rpc = append(all, a), append(web, a.addr), append(rpc, a.grpcAddr)
	}
	hop := newHop(t, onehop.WithResolver(resolver.Static{"web": web, "pay": rpc}), onehop.WithPolicies(policy.Static{}))
	client, stub := webOf(t, hop), dialGRPC(t, hop)
	ctx, cancel := context.WithTimeout(t.Context(), length)
	defer cancel()
	var calls, failed atomic.Int64
	var wg sync.WaitGroup
	work := func(n int, one func() error) {
		for range n {
			wg.Go(func() {
				for ctx.Err() == nil {
					calls.Add(1)
					if err := one(); err != nil && failed.Add(1) <= 5 {
						t.Log(err)
					}
				}
			})
		}
	}
	work(8, func() error { // that may be repeated: none may fail
		o := plainCall(client, http.MethodGet, "http://web/", "")
		if o.err == nil && !o.ok() {
			return fmt.Errorf("status %d", o.status)
		}
		return o.err
	})
	work(4, func() error {
		_, err := stub.UnaryCall(onehop.With(context.Background(), onehop.Idempotent()), &pb.SimpleRequest{})
		return err
	})
	work(2, func() error { plainCall(client, http.MethodPost, "http://web/", tickets.ticket()); return nil }) // may fail, never twice
	work(2, func() error {
		_, _ = stub.UnaryCall(metadata.AppendToOutgoingContext(context.Background(), "ticket", tickets.ticket()), &pb.SimpleRequest{})
		return nil
	})
	wg.Go(func() {
		for ctx.Err() == nil {
			all[rand.IntN(len(all))].ail(1+rand.Int32N(faultKinds-1), 200*time.Millisecond)
			time.Sleep(time.Second) // so that at any time most are well and known to be
		}
	})
	time.Sleep(length / 4)
	early := calm()
	time.Sleep(length/2 + length/8)
	late := calm()
	wg.Wait()
	drift := 100 * (float64(late)/float64(early) - 1)
	figuref(t, "%d calls in %s: %d that may be repeated failed, %d executed twice, heap %.1f MiB, drift %+.1f %%",
		calls.Load(), length, failed.Load(), tickets.twice.Load(), float64(late)/(1<<20), drift)
	if tickets.twice.Load() != 0 {
		t.Errorf("%d calls were executed twice", tickets.twice.Load())
	}
	if failed.Load() > calls.Load()/100_000 {
		t.Errorf("%d of %d calls failed", failed.Load(), calls.Load())
	}
	if drift > 5 {
		t.Errorf("the heap drifts by %.1f %%", drift)
	}
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

package faults

import (
	"context"
	"testing"
	"time"

	pb "google.golang.org/grpc/interop/grpc_testing"

	"github.com/onehop-go/onehop"
	"github.com/onehop-go/onehop/policy"
)

// A gRPC server that is stopped keeps its connection READY and answers nothing: attempts that time out, and their
// breaker, must leave it. Without attempt_timeout nobody could tell it from a slow one.
func TestRow35GRPCProcessStopped(t *testing.T) {
	t.Parallel()
	row(t, 35)
	all, list := startBookings(t, 3)
	p := policy.Default()
	p.AttemptTimeout = 500 * time.Millisecond
	var e eye
	client := dialGRPC(t, static(t, p, list, e.option()))
	tr := driveBy(t, 50, func(ctx context.Context) (o outcome) {
		start := time.Now()
		_, o.err = client.UnaryCall(onehop.With(ctx, onehop.Idempotent()), &pb.SimpleRequest{})
		o.took = time.Since(start)
		return o
	})
	tr.more(150)
	if err := all[0].proc.Pause(); err != nil {
		t.Fatal(err)
	}
	stopped, at := time.Now(), tr.count()
	await(t, "a call meets it", func() bool { return caught(&e, list[0]) > 0 })
	tr.more(500)
	hung := 0
	var last time.Duration
	e.look(func() {
		for _, a := range e.attempts {
			if a.Endpoint.Addr == list[0] && a.Outcome != onehop.OutcomeOK {
				hung, last = hung+1, a.Start.Sub(stopped)
			}
		}
	})
	if err := all[0].proc.Resume(); err != nil {
		t.Fatal(err)
	}
	figuref(t, "over gRPC, stopped: %d of %d calls met it, the last began %s after the stop", hung, tr.count()-at, last.Round(100*time.Millisecond))
	tr.stop().wantNoneFailed(t)
	if hung > 50 {
		t.Errorf("%d calls met the stopped process; it was not left", hung)
	}
}

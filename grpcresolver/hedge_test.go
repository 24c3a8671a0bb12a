package grpcresolver

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"github.com/onehop-go/onehop"
)

// A slow attempt is overtaken by a hedge: the reply, header, trailer and peer are the winner's, and the loser is cancelled.
func TestHedgeWins(t *testing.T) {
	var l executions
	lost := make(chan struct{}, 100)
	answer := func(addr string) func(context.Context, string, int) error {
		return func(ctx context.Context, id string, n int) error {
			_ = grpc.SetTrailer(ctx, metadata.Pairs("server", addr))
			switch {
			case strings.HasPrefix(id, "learn"):
				time.Sleep(5 * time.Millisecond)
			case strings.HasPrefix(id, "slow") && n == 1:
				_ = grpc.SendHeader(ctx, metadata.Pairs("server", "loser"))
				<-ctx.Done()
				lost <- struct{}{}
				return ctx.Err()
			}
			return grpc.SendHeader(ctx, metadata.Pairs("server", addr))
		}
	}
	a, b := startServer(t, &l), startServer(t, &l)
	a.unary, b.unary = answer(a.addr), answer(b.addr)
	p := fast()
	p.Hedge = 0.05
	hop, _ := hopTo(t, p, a.addr, b.addr)
	_, client := dial(t, hop)
	many := func(id string, n int) {
		for i := range n {
			if _, err := client.UnaryCall(call(t, fmt.Sprint(id, i), onehop.Idempotent()), &pb.SimpleRequest{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	many("learn", 200) // the delay is a percentile of what calls take
	for i := range 50 {
		// Calls that stay far below it earn hedges, and retries, more than half of which must be left for a hedge.
		many(fmt.Sprint("earn", i, "-"), 300)
		id := fmt.Sprint("slow", i)
		ctx, cancel := context.WithTimeout(call(t, id, onehop.Idempotent()), time.Second)
		var header, trailer metadata.MD
		var from peer.Peer
		r, err := client.UnaryCall(ctx, &pb.SimpleRequest{}, grpc.Header(&header), grpc.Trailer(&trailer), grpc.Peer(&from))
		cancel()
		if err != nil {
			continue
		}
		<-lost
		if got := fmt.Sprint(header.Get("server"), trailer.Get("server"), from.Addr); got != fmt.Sprintf("[%[1]s] [%[1]s] %[1]s", r.GetServerId()) {
			t.Errorf("reply of %s with %s", r.GetServerId(), got)
		}
		if l.of(id) != 2 {
			t.Errorf("executed %d times", l.of(id))
		}
		return
	}
	t.Error("no hedge was made")
}

// A stream is opened once, however long its headers take, where a unary call of the same route is hedged.
func TestStreamsAreNotHedged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const late = 5 * time.Second
		var l executions
		n := lay(t)
		for _, addr := range []string{"10.0.0.1:80", "10.0.0.2:80"} {
			n.add(t, addr, &server{
				ledger: &l, addr: addr,
				unary: func(ctx context.Context, id string, _ int) error {
					if !strings.HasPrefix(id, "slow") {
						return nil
					}
					select {
					case <-ctx.Done(): // it was overtaken
					case <-time.After(late):
					}
					return ctx.Err()
				},
				duplex: func(_ string, _ int, stream bidi) error {
					time.Sleep(late)
					return echo(stream)
				},
			})
		}
		p := fast()
		p.Hedge = 0.05
		hop, _ := hopTo(t, p, "10.0.0.1:80", "10.0.0.2:80")
		conn, client := dial(t, hop, grpc.WithContextDialer(n.dial))
		conn.Connect()
		synctest.Wait()
		unary := func(id string) {
			if _, err := client.UnaryCall(call(t, id, onehop.Idempotent()), &pb.SimpleRequest{}); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 300 { // the delay is a percentile of what calls take, and they earn the hedges
			unary(fmt.Sprint("quick", i))
		}
		stream, err := client.FullDuplexCall(call(t, "stream", onehop.Idempotent()))
		if err != nil {
			t.Fatal(err)
		}
		if err := pingPong(stream, 1); err != nil {
			t.Fatal(err)
		}
		if got := l.of("stream"); got != 1 {
			t.Errorf("the stream was opened %d times", got)
		}
		unary("slow")
		if got := l.of("slow"); got != 2 {
			t.Errorf("the unary call was executed %d times: it would not have been hedged either", got)
		}
	})
}

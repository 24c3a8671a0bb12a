package grpcresolver

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
)

// counted counts what is written on a connection.
type counted struct {
	net.Conn
	writes *atomic.Int64
}

func (c counted) Write(b []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(b)
}

// A stream that is silent costs nothing: servers end connections that ping more than they allow, and a dead peer is found
// by the kernel (TCP_USER_TIMEOUT, TCP keepalive). Pings are the caller's to ask for.
func TestPingsAreOptIn(t *testing.T) {
	for name, row := range map[string]struct {
		opts  []grpc.DialOption
		pings bool
	}{
		"by default": {},
		"asked for":  {[]grpc.DialOption{grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: time.Minute, Timeout: time.Second})}, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := lay(t)
				n.add(t, "10.0.0.1:80", &server{ledger: &executions{}, addr: "a"},
					grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Second}))
				hop, _ := hopTo(t, fast(), "10.0.0.1:80")
				var writes atomic.Int64
				_, client := dial(t, hop, append(row.opts, grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
					conn, err := n.dial(ctx, addr)
					return counted{conn, &writes}, err
				}))...)
				stream, err := client.FullDuplexCall(metadata.AppendToOutgoingContext(t.Context(), "id", "silent"))
				if err != nil {
					t.Fatal(err)
				}
				if err := stream.Send(message(1)); err != nil {
					t.Fatal(err)
				}
				if _, err := stream.Recv(); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				before := writes.Load()
				time.Sleep(20 * time.Minute)
				if got := writes.Load() - before; (got > 0) != row.pings {
					t.Errorf("%d writes in 20 silent minutes", got)
				}
				if err := pingPong(stream, 0); err != nil { // it still stands
					t.Error(err)
				}
			})
		})
	}
}

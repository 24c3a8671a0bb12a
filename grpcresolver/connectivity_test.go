package grpcresolver

import (
	"context"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	pb "google.golang.org/grpc/interop/grpc_testing"
)

// A ClientConn says of itself what is true of its endpoints, in both modes.
func TestConnectivityStates(t *testing.T) {
	const one, two, three = "10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"
	for mode, dial := range modes {
		t.Run(mode, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := lay(t, three+"=silent")
				kill := n.add(t, one, &server{ledger: &executions{}, addr: "a"})
				hop, script := hopTo(t, fast(), one)
				conn, _ := dial(t, hop, grpc.WithContextDialer(n.dial))
				is := func(why string, want connectivity.State) {
					t.Helper()
					synctest.Wait()
					if got := conn.GetState(); got != want {
						t.Errorf("%s: %v, want %v", why, got, want)
					}
				}
				is("nobody has called", connectivity.Idle)
				conn.Connect()
				is("its endpoint answers", connectivity.Ready)
				script.set(one, two, three)
				is("one refuses, one is silent, one answers", connectivity.Ready)
				script.set(one, two)
				is("one refuses, one answers", connectivity.Ready)
				kill()
				is("both refuse", connectivity.TransientFailure)
				n.add(t, one, &server{ledger: &executions{}, addr: "a"})
				time.Sleep(2 * time.Minute) // beyond the longest backoff
				is("one is back", connectivity.Ready)
				_ = conn.Close()
				is("closed", connectivity.Shutdown)
			})
		})
	}
}

// An endpoint that nobody has heard of yet is being connected to; a call waits, and does not fail.
func TestConnectingIsNoFailure(t *testing.T) {
	for mode, dial := range modes {
		t.Run(mode, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := lay(t, "10.0.0.1:80=silent")
				hop, script := hopTo(t, fast(), "10.0.0.1:80")
				conn, client := dial(t, hop, grpc.WithContextDialer(n.dial))
				ended := make(chan error, 1)
				go func() {
					_, err := client.UnaryCall(call(t, "waits"), &pb.SimpleRequest{})
					ended <- err
				}()
				synctest.Wait()
				if got := conn.GetState(); got != connectivity.Connecting {
					t.Errorf("state %v", got)
				}
				n.add(t, "10.0.0.2:80", &server{ledger: &executions{}, addr: "b"})
				script.set("10.0.0.1:80", "10.0.0.2:80")
				if err := <-ended; err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// closing is a connection that tells of its end.
type closing struct {
	net.Conn
	closed *atomic.Bool
}

func (c closing) Close() error {
	c.closed.Store(true)
	return c.Conn.Close()
}

// Who has left gets no calls from that moment on, and keeps its connection for a second more: a call that had picked it is
// still to open its stream, and grpc-go would leave that hanging on a connection which another stream keeps open.
func TestOneThatLeavesKeepsItsConnection(t *testing.T) {
	const one, two = "10.0.0.1:80", "10.0.0.2:80"
	for mode, dial := range modes {
		t.Run(mode, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := lay(t)
				a, b := &server{ledger: &executions{}, addr: "a"}, &server{ledger: &executions{}, addr: "b"}
				n.add(t, one, a)
				n.add(t, two, b)
				hop, script := hopTo(t, inTurns(), one, two)
				var closed atomic.Bool
				_, client := dial(t, hop, grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
					conn, err := n.dial(ctx, addr)
					if addr == one && err == nil {
						conn = closing{conn, &closed}
					}
					return conn, err
				}))
				waitReady(t, client, a, b)
				script.set(two)
				synctest.Wait()
				before := a.served()
				for i := range 20 {
					if _, err := client.UnaryCall(call(t, fmt.Sprint("left", i)), &pb.SimpleRequest{}); err != nil {
						t.Fatal(err)
					}
				}
				time.Sleep(partingTime - time.Millisecond)
				synctest.Wait()
				if a.served() != before || closed.Load() {
					t.Errorf("%d calls went to one that has left; its connection is closed: %v", a.served()-before, closed.Load())
				}
				time.Sleep(time.Millisecond)
				synctest.Wait()
				if !closed.Load() {
					t.Error("it has left for good, and its connection is open")
				}
			})
		})
	}
}

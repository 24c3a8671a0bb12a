package grpcresolver

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	pb "google.golang.org/grpc/interop/grpc_testing"

	"github.com/onehop-go/onehop"
)

// A server that says NOT_SERVING by grpc.health.v1 gets no calls while it does; one without health checking gets them.
func TestHealthCheckIsHonoured(t *testing.T) {
	var l executions
	checked, plain := startServer(t, &l), startServer(t, &l)
	checked.kill()
	h := health.NewServer()
	h.SetServingStatus("stock", grpc_health_v1.HealthCheckResponse_NOT_SERVING)
	checked.register = func(s *grpc.Server) { grpc_health_v1.RegisterHealthServer(s, h) }
	checked.start()
	hop, _ := hopTo(t, fast(), checked.addr, plain.addr)
	_, client := dial(t, hop, HealthCheck("stock"))
	for i := range 50 {
		if _, err := client.UnaryCall(call(t, fmt.Sprint("first", i)), &pb.SimpleRequest{}); err != nil {
			t.Fatal(err)
		}
	}
	if checked.served() != 0 {
		t.Errorf("%d calls while NOT_SERVING", checked.served())
	}
	h.SetServingStatus("stock", grpc_health_v1.HealthCheckResponse_SERVING)
	waitReady(t, client, checked)
	h.SetServingStatus("stock", grpc_health_v1.HealthCheckResponse_NOT_SERVING)
	waitLeft(t, client, checked)
}

// All endpoints unreachable for long: grpc-go's backoff has grown, and still the first that comes back is found soon.
func TestReturnFromTotalOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hop, _ := hopTo(t, fast(), "10.0.0.1:80")
		n := lay(t)
		_, client := dial(t, hop, grpc.WithContextDialer(n.dial))
		one := func(i int) error {
			_, err := client.UnaryCall(call(t, fmt.Sprint("lost", i), onehop.NoRetry()), &pb.SimpleRequest{})
			return err
		}
		const every = 10 * time.Millisecond
		for i := range int(5 * time.Minute / time.Second) {
			if err := one(i); err == nil {
				t.Fatal("who answered?")
			}
			time.Sleep(time.Second)
		}
		n.add(t, "10.0.0.1:80", &server{ledger: &executions{}, addr: "back"})
		start := time.Now()
		for i := 0; one(i) != nil; i++ {
			time.Sleep(every)
		}
		if took := time.Since(start); took > time.Second+every {
			t.Errorf("found after %v", took)
		}
	})
}

// No pick waits for a connection that is being made while another is ready, in both modes.
func TestPickDoesNotWaitForOthers(t *testing.T) {
	for mode, dial := range modes {
		t.Run(mode, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := lay(t, "10.0.0.1:80=a", "10.0.0.2:80=silent")
				hop, script := hopTo(t, fast(), "10.0.0.1:80")
				conn, client := dial(t, hop, grpc.WithContextDialer(n.dial))
				conn.Connect()
				synctest.Wait()
				script.set("10.0.0.1:80", "10.0.0.2:80")
				synctest.Wait()
				if !tried(n, "10.0.0.2:80") {
					t.Fatal("nobody connects to the newcomer")
				}
				begun := time.Now()
				for i := range 50 {
					if _, err := client.UnaryCall(call(t, fmt.Sprint("p", i)), &pb.SimpleRequest{}); err != nil {
						t.Fatal(err)
					}
					stream, err := client.FullDuplexCall(call(t, fmt.Sprint("s", i)))
					if err == nil {
						err = pingPong(stream, 1)
					}
					if err != nil {
						t.Fatal(err)
					}
				}
				if took := time.Since(begun); took != 0 {
					t.Errorf("the calls waited for %v", took)
				}
			})
		})
	}
}

// What left the upstream gets no calls, even while its connection lives, and what comes back does.
func TestEndpointsComeAndGo(t *testing.T) {
	var l executions
	a, b := startServer(t, &l), startServer(t, &l)
	hop, script := hopTo(t, fast(), a.addr, b.addr)
	_, client := dial(t, hop)
	waitReady(t, client, a, b)
	script.set(b.addr)
	waitLeft(t, client, a)
	script.set(a.addr)
	waitMore(t, client, a)
}

// A stream that is under way when its endpoint leaves goes on to its own end.
func TestStreamOutlivesItsEndpoint(t *testing.T) {
	for mode, dial := range modes {
		t.Run(mode, func(t *testing.T) {
			var l executions
			a, b := startServer(t, &l), startServer(t, &l)
			hop, script := hopTo(t, inTurns(), a.addr)
			_, client := dial(t, hop)
			stream, err := client.FullDuplexCall(call(t, "under way"), grpc.WaitForReady(true))
			if err != nil {
				t.Fatal(err)
			}
			if err := stream.Send(message(-1)); err != nil {
				t.Fatal(err)
			}
			if _, err := stream.Recv(); err != nil {
				t.Fatal(err)
			}
			script.set(a.addr, b.addr)
			waitReady(t, client, b)
			script.set(b.addr)
			waitLeft(t, client, a)
			if err := pingPong(stream, 10); err != nil {
				t.Error(err)
			}
		})
	}
}

// waitLeft calls until a server gets none of the calls.
func waitLeft(t *testing.T, client pb.TestServiceClient, s *server) {
	t.Helper()
	for i := 0; ; i++ {
		before := s.served()
		for j := range 20 {
			if _, err := client.UnaryCall(call(t, fmt.Sprint("left", i, "-", j)), &pb.SimpleRequest{}); err != nil {
				t.Fatal(err)
			}
		}
		if s.served() == before {
			return
		}
	}
}

// waitMore calls until a server has got one more call.
func waitMore(t *testing.T, client pb.TestServiceClient, s *server) {
	t.Helper()
	before := s.served()
	for i := 0; s.served() == before; i++ {
		if _, err := client.UnaryCall(call(t, fmt.Sprint("more", i)), &pb.SimpleRequest{}); err != nil {
			t.Fatal(err)
		}
	}
}

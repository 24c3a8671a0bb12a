package main

import (
	"net"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/onehop-go/onehop"
	"github.com/onehop-go/onehop/internal/consultest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// environment is what a user of the example sets, and a disk cache that is no other test's.
func environment(t *testing.T) *consultest.Agent {
	t.Helper()
	agent := consultest.Start(t)
	t.Setenv("CONSUL_HTTP_ADDR", agent.Addr)
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	return agent
}

// serve starts a gRPC server with the standard health service and returns its port.
func serve(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	grpc_health_v1.RegisterHealthServer(s, health.NewServer())
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	tcp, _ := l.Addr().(*net.TCPAddr) // it is one
	return tcp.Port
}

// No call is lost to an instance that is dead and still listed.
func TestExampleFindsTheLivingInstance(t *testing.T) {
	agent := environment(t)
	name := consultest.Name(t, "inventory")
	dead, release, err := consultest.FreeAddr()
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	_, port, _ := net.SplitHostPort(dead)
	n, err := net.LookupPort("tcp", port)
	if err != nil {
		t.Fatal(err)
	}
	agent.Register(t, consultest.Service{Name: name, Port: n})
	agent.Register(t, consultest.Service{Name: name, Port: serve(t)})
	var out strings.Builder
	if err := run(t.Context(), name, &out); err != nil {
		t.Fatal(err)
	}
	if want := strings.Repeat("SERVING\n", 3); out.String() != want {
		t.Errorf("printed %q, want %q", out.String(), want)
	}
}

func TestExampleSaysThatNobodyIsThere(t *testing.T) {
	environment(t)
	name := consultest.Name(t, "nowhere")
	err := run(t.Context(), name, new(strings.Builder))
	if onehop.ReasonOf(err) != onehop.ReasonNoEndpoints || status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), name) {
		t.Errorf("error %v, want no_endpoints of %s, as a status UNAVAILABLE", err, name)
	}
}

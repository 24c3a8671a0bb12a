package register

import (
	"context"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	grpcresolver "google.golang.org/grpc/resolver"
	"google.golang.org/grpc/status"

	"github.com/onehop-go/onehop/internal/consultest"
)

// startHealth starts a server of gRPC's own health service.
func startHealth(t *testing.T) (port int) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	grpc_health_v1.RegisterHealthServer(s, health.NewServer())
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = s.Serve(l)
	}()
	t.Cleanup(func() {
		s.Stop()
		<-served
	})
	return l.Addr().(*net.TCPAddr).Port //nolint:forcetypeassert // of a TCP listener
}

// A program that used mbobakov/grpc-consul-resolver changes an import: its targets go on as they are, with its service
// config, and each agent and token has a Client of its own. What does nothing here is warned of once.
func TestMigration(t *testing.T) {
	if _, ours := grpcresolver.Get("consul").(*clients); !ours {
		t.Error("the import registers no scheme")
	}
	var log strings.Builder
	defer slog.SetDefault(slog.Default())
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
	a := consultest.Start(t, consultest.WithACL())
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	name := consultest.Name(t, "stock")
	a.Register(t, consultest.Service{Name: name, Port: startHealth(t), Tags: []string{"v2"}})
	c := &clients{}
	check := func(target string) error {
		conn, err := grpc.NewClient(target, grpc.WithResolvers(c), grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithDefaultServiceConfig(`{"loadBalancingPolicy": "round_robin"}`))
		if err != nil {
			return err
		}
		defer conn.Close() //nolint:errcheck // a test's
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		_, err = grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{})
		return err
	}
	if err := check("consul://" + a.Addr + "/" + name); status.Code(err) != codes.Unavailable {
		t.Errorf("without the token: %v", err)
	}
	authority := "consul://" + a.Token + "@" + a.Addr + "/" + name + "?healthy=true&wait=14s&near=_agent&limit=3&tag=v2"
	for _, target := range []string{authority, authority, "consul://" + a.Addr + "/" + name + "?timeout=1s&token=" + a.Token} {
		if err := check(target); err != nil {
			t.Errorf("%v", err)
		}
	}
	if len(c.all) != 2 {
		t.Errorf("%d Clients; want one with the token and one without", len(c.all))
	}
	for _, made := range c.all {
		_ = made.hop.Close()
	}
	if n := strings.Count(log.String(), "parameter=wait"); n != 1 {
		t.Errorf("warned %d times of wait: %s", n, log.String())
	}
	if strings.Contains(log.String(), a.Token) {
		t.Error("the log holds the token")
	}
}

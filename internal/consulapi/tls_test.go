package consulapi

import (
	"context"
	"encoding/pem"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/onehop-go/onehop/consul"
)

// secureAgent is an agent over TLS and HTTP/2 whose every blocking query waits; it counts connections.
type secureAgent struct {
	*httptest.Server
	mu          sync.Mutex
	connections int
	blocked     int
	token       string
}

func newSecureAgent(t *testing.T) *secureAgent {
	t.Helper()
	a := &secureAgent{}
	a.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.mu.Lock()
		a.token = r.Header.Get("X-Consul-Token")
		a.mu.Unlock()
		if r.URL.Query().Has("index") {
			a.mu.Lock()
			a.blocked++
			a.mu.Unlock()
			<-r.Context().Done()
			return
		}
		w.Header().Set("X-Consul-Index", "10")
		_, _ = w.Write([]byte(instances(1, 3)))
	}))
	a.EnableHTTP2 = true
	a.Config.ErrorLog = log.New(io.Discard, "", 0) // of failed handshakes
	a.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		a.mu.Lock()
		defer a.mu.Unlock()
		switch s {
		case http.StateNew:
			a.connections++
		case http.StateClosed:
			a.connections--
		default:
		}
	}
	a.StartTLS()
	t.Cleanup(a.Close)
	return a
}

// caFile holds the agent's certificate.
func (a *secureAgent) caFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.Certificate().Raw})
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestManyWatchesOverHTTP2ShareFewConnections(t *testing.T) {
	a := newSecureAgent(t)
	c := acquire(t, consul.Agent{Address: a.URL, CAFile: a.caFile(t), Token: "t"})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	const watches = 600
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	taken := make(chan struct{}, watches)
	for range watches {
		wg.Go(func() {
			c.WatchService(ctx, ServiceQuery{Service: "pay"},
				func([]*ServiceEntry, time.Time) error { taken <- struct{}{}; return nil },
				func(err error) { t.Error(err) })
		})
	}
	for range watches {
		<-taken
	}
	for {
		a.mu.Lock()
		blocked, connections, token := a.blocked, a.connections, a.token
		a.mu.Unlock()
		if connections >= 128 || token != "t" {
			t.Fatalf("%d connections, token %q", connections, token)
		}
		if blocked == watches {
			t.Logf("%d watches over %d connections", watches, connections)
			break
		}
		if err := sleep(ctx, time.Millisecond, nil); err != nil {
			t.Fatal(err)
		}
	}
}

// firstFailure is what the first read of a watch fails with.
func firstFailure(t *testing.T, a consul.Agent) error {
	t.Helper()
	c := acquire(t, a)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var first error
	c.WatchService(ctx, ServiceQuery{Service: "pay"},
		func([]*ServiceEntry, time.Time) error { t.Error("a list was read"); cancel(); return nil },
		func(err error) { first = err; cancel() })
	return first
}

func TestTLSFaultsAreNamed(t *testing.T) {
	a := newSecureAgent(t)
	garbage := filepath.Join(t.TempDir(), "garbage.pem")
	if err := os.WriteFile(garbage, []byte("no PEM"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, row := range map[string]struct {
		agent consul.Agent
		want  string
	}{
		"unknown authority": {consul.Agent{Address: a.URL}, "certificate signed by unknown authority"},
		"wrong name":        {consul.Agent{Address: a.URL, CAFile: a.caFile(t), ServerName: "other.test"}, "not other.test"},
		"no file":           {consul.Agent{Address: a.URL, CAFile: "/nowhere/ca.pem"}, "CA certificate: open /nowhere/ca.pem"},
		"no PEM":            {consul.Agent{Address: a.URL, CAFile: garbage}, "no PEM certificate in " + garbage},
		"no key":            {consul.Agent{Address: a.URL, CertFile: "/nowhere/c.pem", KeyFile: "/nowhere/k.pem"}, "client certificate: open /nowhere/c.pem"},
		"no token file":     {consul.Agent{Address: a.URL, TokenFile: "/nowhere/token"}, "token file: stat /nowhere/token"},
		"http to https":     {consul.Agent{Address: strings.TrimPrefix(a.URL, "https://")}, "400"},
		"closed port":       {consul.Agent{Address: "127.0.0.1:1"}, "consul at 127.0.0.1:1 is unreachable"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := firstFailure(t, row.agent); err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("error %v, want %q", err, row.want)
			}
		})
	}
}

func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "consul.sock")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "u" || password != "p" || r.Host != "localhost" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("X-Consul-Index", "10")
		_, _ = w.Write([]byte(instances(1, 3)))
	}))
	if err := server.Listener.Close(); err != nil {
		t.Fatal(err)
	}
	server.Listener = listener
	server.Start()
	t.Cleanup(server.Close)
	t.Setenv("CONSUL_HTTP_ADDR", "unix://"+path)
	t.Setenv("CONSUL_HTTP_AUTH", "u:p")
	c := acquire(t, consul.Agent{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c.WatchService(ctx, ServiceQuery{Service: "pay"},
		func(entries []*ServiceEntry, _ time.Time) error {
			if len(entries) != 3 {
				t.Errorf("%d entries", len(entries))
			}
			cancel()
			return nil
		},
		func(err error) { t.Error(err); cancel() })
}

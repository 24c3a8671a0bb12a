package faults

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	pb "google.golang.org/grpc/interop/grpc_testing"

	"github.com/onehop-go/onehop"
	"github.com/onehop-go/onehop/consul"
	"github.com/onehop-go/onehop/policy"
	"github.com/onehop-go/onehop/resolver"
)

const (
	proxyChild   = "ONEHOP_TEST_BEHIND_PROXY"
	proxyControl = "onehop-control.invalid"
)

// A program that runs with a proxy in its environment sends nothing of onehop's through it: neither calls of any protocol
// nor what is asked of Consul, with its token. net/http reads the environment once, so it is a process of its own: this test
// again, which finds that it is the child.
func TestEnvironmentProxyIsIgnored(t *testing.T) {
	if os.Getenv(proxyChild) != "" {
		behindProxy(t)
		return
	}
	t.Parallel()
	var mu sync.Mutex
	var asked []string
	proxy := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, r.Host)
	}))
	defer proxy.Close()
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	child.Env = append(os.Environ(), proxyChild+"=1", "NO_PROXY=", "no_proxy=")
	for _, name := range []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"} {
		child.Env = append(child.Env, name+"="+proxy.URL)
	}
	if out, err := child.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	mu.Lock()
	defer mu.Unlock()
	if !slices.Equal(asked, []string{proxyControl}) { // which shows that the environment counts at all
		t.Errorf("the proxy was asked for %q", asked)
	}
}

// behindProxy is what the program does.
func behindProxy(t *testing.T) {
	t.Helper()
	plain := &http.Client{Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true}}
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+proxyControl+"/", nil)
	if resp, err := plain.Do(req); err == nil {
		_ = resp.Body.Close()
	}
	s := newServer(t)
	hop := newHop(t, onehop.WithResolver(resolver.Static{"pay": {s.addr}, "rpc": {serveGRPC(t)}}), onehop.WithPolicies(policy.Static{}))
	if o := get(t, webOf(t, hop), "http://pay/"); !o.ok() || s.seen() != 1 {
		t.Errorf("HTTP: %v, the service saw %d requests", o.err, s.seen())
	}
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	if _, err := dialService(t, hop, "rpc").EmptyCall(ctx, &pb.Empty{}); err != nil {
		t.Errorf("gRPC: %v", err)
	}
	conn, err := hop.DialContext(ctx, "tcp", "pay:80")
	if err != nil {
		t.Fatalf("a dial: %v", err)
	}
	_ = conn.Close()
	// An agent on this machine would be exempt from every proxy.
	far := newHop(t, onehop.WithConsul(consul.Agent{Address: "http://onehop-agent.invalid:8500", Token: "canary"}))
	ctx, cancel = context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := onehop.Do(ctx, far.Upstream("pay"), nothing); err == nil {
		t.Error("an agent without an address was reached")
	}
}

type emptyCalls struct {
	pb.UnimplementedTestServiceServer
}

func (emptyCalls) EmptyCall(context.Context, *pb.Empty) (*pb.Empty, error) { return &pb.Empty{}, nil }

func serveGRPC(t *testing.T) (addr string) {
	t.Helper()
	l := listen(t)
	s := grpc.NewServer()
	pb.RegisterTestServiceServer(s, emptyCalls{})
	var wg sync.WaitGroup
	wg.Go(func() { _ = s.Serve(l) })
	t.Cleanup(func() { s.Stop(); wg.Wait() })
	return l.Addr().String()
}

package grpcresolver

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
	"google.golang.org/grpc/status"

	"github.com/onehop-go/onehop"
	"github.com/onehop-go/onehop/policy"
)

const testService = "grpc.testing.TestService"

func route(name, match string, change func(*policy.Route)) policy.Route {
	r := policy.Route{Name: name, Match: policy.Match{GRPC: match}, Settings: policy.Default().Settings}
	change(&r)
	return r
}

func TestServiceConfigOfPolicy(t *testing.T) {
	linked := map[nativeName]method{
		{"a.S", "Get"}:    {known: true, idempotent: true},
		{"a.S", "Put"}:    {known: true},
		{"a.S", "Stream"}: {known: true, streams: true, idempotent: true},
	}
	const lb = `{"loadBalancingConfig":[{"onehop":{}}]`
	const throttle = `"retryThrottling":{"maxTokens":20,"tokenRatio":0.1}}`
	const retry = `"retryPolicy":{"maxAttempts":3,"initialBackoff":"0.025s","maxBackoff":"1s","backoffMultiplier":2,"retryableStatusCodes":["UNAVAILABLE"]}}`
	for name, c := range map[string]struct {
		change func(*policy.Policy)
		want   string
	}{
		"default: linked idempotent methods are retried": {
			func(*policy.Policy) {},
			lb + `,"methodConfig":[{"name":[{"service":"a.S","method":"Get"},{"service":"a.S","method":"Stream"}],` + retry + `],` + throttle,
		},
		"timeout is of known unary methods": {
			func(p *policy.Policy) { p.Timeout = 1500 * time.Millisecond; p.Retry.MaxAttempts = 1 },
			lb + `,"methodConfig":[{"name":[{"service":"a.S","method":"Get"},{"service":"a.S","method":"Put"}],"timeout":"1.5s"}],` + throttle,
		},
		"a route names an unknown method": {
			func(p *policy.Policy) {
				p.Retry.MaxAttempts = 1
				p.Routes = []policy.Route{route("r", "b.T/*", func(r *policy.Route) { r.Idempotent, r.Timeout = true, time.Second })}
			},
			lb + `,"methodConfig":[{"name":[{"service":"b.T"}],` + retry + `],` + throttle,
		},
		"the first route wins; where it retries nothing that must be said, or the service's entry would be the method's": {
			func(p *policy.Policy) {
				p.Retry.MaxAttempts = 1
				p.Routes = []policy.Route{
					route("one", "b.T/M", func(r *policy.Route) { r.Retry.MaxAttempts = 1 }),
					route("all", "b.T/*", func(r *policy.Route) {
						r.Idempotent = true
						r.Retry.When = []policy.Condition{"ABORTED", "attempt_timeout", "503"}
					}),
				}
			},
			lb + `,"methodConfig":[{"name":[{"service":"b.T"}],` + strings.ReplaceAll(retry, "UNAVAILABLE", "ABORTED") +
				`,{"name":[{"service":"b.T","method":"M"}]}],` + throttle,
		},
		"nothing is said of methods not idempotent": {
			func(p *policy.Policy) {
				p.Routes = []policy.Route{route("put", "a.S/*", func(r *policy.Route) { r.Retry.When = nil })}
			},
			lb + `,` + throttle,
		},
		"observe does nothing": {func(p *policy.Policy) { p.Mode = policy.Observe; p.Timeout = time.Second }, lb + `}`},
		"bypass does nothing":  {func(p *policy.Policy) { p.Mode = policy.Bypass }, lb + `}`},
	} {
		t.Run(name, func(t *testing.T) {
			p := policy.Default()
			c.change(&p)
			got := nativeOf(p, linked)
			if got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			if err := parsesNatively(t, got); err != nil {
				t.Errorf("grpc-go does not take %s: %v", got, err)
			}
		})
	}
}

// parsesNatively has grpc-go itself read a service config.
func parsesNatively(t *testing.T, text string) error {
	t.Helper()
	r := manual.NewBuilderWithScheme("parse")
	parsed := make(chan error, 1)
	r.BuildCallback = func(_ resolver.Target, cc resolver.ClientConn, _ resolver.BuildOptions) {
		parsed <- cc.ParseServiceConfig(text).Err
	}
	conn, err := grpc.NewClient("parse:///x", grpc.WithResolvers(r), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // never connected
	conn.Connect()
	return <-parsed
}

func dialNative(t *testing.T, hop *onehop.Client) pb.TestServiceClient {
	t.Helper()
	return pb.NewTestServiceClient(connNative(t, hop))
}

func connNative(t *testing.T, hop *onehop.Client, opts ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	opts = append(opts, grpc.WithResolvers(NewBuilder(hop)), grpc.WithTransportCredentials(insecure.NewCredentials()))
	conn, err := grpc.NewClient("consul:///inventory", opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func TestSchemeOnlyRetriesWhatARouteNames(t *testing.T) {
	var l executions
	bad, good := startServer(t, &l), startServer(t, &l)
	bad.unary = func(_ context.Context, _ string, _ int) error { return status.Error(codes.Unavailable, "not now") }
	p := fast()
	p.LoadBalancing.Algorithm = policy.RoundRobin
	p.Retry.Backoff.Initial = time.Millisecond
	p.Routes = []policy.Route{route("unary", testService+"/UnaryCall", func(r *policy.Route) { r.Idempotent, r.Settings = true, p.Settings })}
	hop, _ := hopTo(t, p, bad.addr, good.addr)
	client := dialNative(t, hop)
	calls, served := 0, 0
	for ; calls < 40 || l.most() < 2; calls++ { // until it is connected nobody asks the bad one
		if _, err := client.UnaryCall(call(t, fmt.Sprint("n", calls)), &pb.SimpleRequest{}); err == nil {
			served++
		}
	}
	if 4*served < 3*calls {
		t.Errorf("%d of %d served", served, calls)
	}
}

// scriptedPolicy publishes what a test tells it.
type scriptedPolicy struct {
	mu   sync.Mutex
	p    policy.Policy
	wake chan struct{}
}

func (s *scriptedPolicy) Watch(ctx context.Context, _ string, publish func(policy.Revision, error)) {
	for {
		s.mu.Lock()
		p, wake := s.p, s.wake
		s.mu.Unlock()
		publish(policy.Revision{Policy: p}, nil)
		select {
		case <-wake:
		case <-ctx.Done():
			return
		}
	}
}

func (s *scriptedPolicy) set(p policy.Policy) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.p = p
	if s.wake != nil {
		close(s.wake)
	}
	s.wake = make(chan struct{})
}

func TestSchemeOnlyFollowsPolicyAndEndpoints(t *testing.T) {
	var l executions
	a, b := startServer(t, &l), startServer(t, &l)
	src, s := &scriptedPolicy{}, &scripted{}
	src.set(fast())
	s.set(a.addr)
	hop, err := onehop.New(onehop.WithResolver(s), onehop.WithPolicies(src))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = hop.Close() })
	client := dialNative(t, hop)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { // not one call is lost to the changes
		for i := 0; ctx.Err() == nil; i++ {
			if _, err := client.UnaryCall(call(t, fmt.Sprint("live", i)), &pb.SimpleRequest{}); err != nil {
				t.Error(err)
			}
		}
	})
	for i := range 20 {
		p := fast()
		p.Timeout = time.Duration(i+10) * time.Second
		src.set(p)
		s.set(a.addr, b.addr)
		waitReady(t, client, a, b)
	}
	cancel()
	wg.Wait()
}

// A methodConfig's timeout would cut a stream.
func TestSchemeOnlyTimeoutIsNoStreams(t *testing.T) {
	var l executions
	s := startServer(t, &l)
	s.unary = func(ctx context.Context, _ string, _ int) error { <-ctx.Done(); return ctx.Err() }
	p := fast()
	p.Timeout = 20 * time.Millisecond
	hop, _ := hopTo(t, p, s.addr)
	client := dialNative(t, hop)
	stream, err := client.FullDuplexCall(call(t, "stream"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.UnaryCall(call(t, "unary"), &pb.SimpleRequest{}); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("unary: %v", err)
	}
	if err := pingPong(stream, 3); err != nil {
		t.Error(err)
	}
}

package grpcresolver

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	pb "google.golang.org/grpc/interop/grpc_testing"

	"github.com/onehop-go/onehop"
	"github.com/onehop-go/onehop/internal/engine"
	"github.com/onehop-go/onehop/policy"
	"github.com/onehop-go/onehop/resolver"
)

// patient is an upstream with that connect_timeout.
func patient(d time.Duration) *engine.Upstream {
	u := engine.NewUpstream(resolver.Target{Service: "pay"}, engine.Env{})
	p := policy.Default()
	p.ConnectTimeout = d
	u.Configure(p)
	return u
}

func TestConnectTimeoutIsThatOfTheAddress(t *testing.T) {
	var c connects
	quick, slow, endless := patient(time.Second), patient(time.Minute), patient(0)
	wants := func(why, addr string, want time.Duration) {
		t.Helper()
		if got := c.timeout(addr); got != want {
			t.Errorf("%s: %s, want %s", why, got, want)
		}
	}
	wants("nobody's", "a", 0)
	c.expect(quick, nil, []string{"a", "b"})
	wants("one service", "a", time.Second)
	c.expect(slow, nil, []string{"a"})
	wants("the most patient of two", "a", time.Minute)
	wants("the other's own", "b", time.Second)
	c.expect(endless, nil, []string{"a"})
	wants("none", "a", 0)
	c.expect(endless, []string{"a"}, nil)
	c.expect(quick, nil, []string{"a"}) // another ClientConn to it
	c.expect(slow, []string{"a"}, []string{"c"})
	wants("moved away", "a", time.Second)
	c.expect(quick, []string{"a", "b"}, nil)
	wants("one ClientConn closed", "a", time.Second)
	wants("nobody's any more", "b", 0)
	c.expect(quick, []string{"a"}, nil)
	c.expect(slow, []string{"c"}, nil)
	if len(c.wanted) != 0 {
		t.Errorf("still wanted: %v", c.wanted)
	}
}

// A connection has until its limit to become ready; ready, it lives on.
func TestConnectionIsInterruptedUnlessReady(t *testing.T) {
	for name, row := range map[string]struct {
		then func(l *link, c *tracked)
		ends bool
	}{
		"silent": {func(*link, *tracked) {}, true},
		"ready":  {func(l *link, _ *tracked) { l.connects.ready("a") }, false},
		"closed": {func(_ *link, c *tracked) { _ = c.Close() }, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLink(nil)
				near, far := net.Pipe()
				defer far.Close() //nolint:errcheck // a pipe
				c := l.conns.track(near, &l.connects)
				l.connects.begin(c, "a", time.Second)
				time.Sleep(time.Second - 1)
				row.then(l, c)
				read := make(chan error, 1)
				go func() { _, err := c.Read(make([]byte, 1)); read <- err }()
				time.Sleep(time.Hour)
				synctest.Wait()
				select {
				case err := <-read:
					if !row.ends {
						t.Error("it ended: ", err)
					}
				default:
					if row.ends {
						t.Error("it did not end")
					}
				}
				_ = c.Close()
				if len(l.connects.begun) != 0 {
					t.Errorf("still being made: %v", l.connects.begun)
				}
			})
		})
	}
}

// connect_timeout bounds the whole of it: a peer that accepts and never says a word of HTTP/2 is given up long before
// grpc-go's own 20 seconds, and a connection that stands is not.
func TestConnectTimeoutCoversTheHandshake(t *testing.T) {
	mute, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close() //nolint:errcheck // a test's
	go func() {
		for {
			conn, err := mute.Accept()
			if err != nil {
				return
			}
			defer conn.Close() //nolint:errcheck // with the test
		}
	}()
	var l executions
	s := startServer(t, &l)
	p := fast()
	p.ConnectTimeout = 50 * time.Millisecond
	opened := make(chan string, 1)
	hop, err := onehop.New(onehop.WithResolver(resolver.Static{"inventory": {mute.Addr().String(), s.addr}}), onehop.WithPolicies(policy.Static{"inventory": p}),
		onehop.WithLogger(slog.New(slog.DiscardHandler)), onehop.WithObserver(onehop.Observer{Decided: func(_ context.Context, d onehop.Decision) {
			if d.Action == "open" && d.Endpoint.Addr == mute.Addr().String() {
				select {
				case opened <- d.Endpoint.Addr:
				default:
				}
			}
		}}))
	if err != nil {
		t.Fatal(err)
	}
	defer hop.Close() //nolint:errcheck // a test's
	_, client := dial(t, hop)
	stream, err := client.FullDuplexCall(call(t, "over"), grpc.WaitForReady(true))
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-opened:
	case <-time.After(15 * time.Second): // below grpc-go's own limit
		t.Fatal("the mute peer is still being connected to")
	}
	time.Sleep(2 * p.ConnectTimeout) // now the other connection is older than that as well, however late it came
	for range 3 {
		if err := stream.Send(&pb.StreamingOutputCallRequest{}); err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Recv(); err != nil {
			t.Fatal("the connection that stood was cut: ", err)
		}
	}
}

// What a caller sets as default service config would choose another balancer: it is not used, and calls stay balanced.
func TestCallersServiceConfigIsNotUsed(t *testing.T) {
	var l executions
	a, b := startServer(t, &l), startServer(t, &l)
	hop, _ := hopTo(t, fast(), a.addr, b.addr)
	for name, opts := range map[string][]grpc.DialOption{
		"alone":                       {grpc.WithDefaultServiceConfig(`{"loadBalancingConfig":[{"pick_first":{}}]}`)},
		"before the health check":     {grpc.WithDefaultServiceConfig(`{"loadBalancingConfig":[{"pick_first":{}}]}`), HealthCheck("")},
		"after it, as by a wrapper's": {HealthCheck(""), grpc.WithDefaultServiceConfig(`{"loadBalancingConfig":[{"pick_first":{}}]}`)},
	} {
		conn, client := dial(t, hop, opts...)
		seen := map[string]bool{}
		for i := 0; len(seen) < 2; i++ {
			seen[who(t, client, fmt.Sprint(name, i))] = true
		}
		_ = conn.Close()
	}
}

// With DialOptions another config may be given after them, against their word: calls and streams live all the same.
func TestAnotherBalancerCutsNoStream(t *testing.T) {
	var l executions
	s := startServer(t, &l)
	hop, _ := hopTo(t, fast(), s.addr)
	conn, err := grpc.NewClient("consul:///inventory", append(append([]grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())},
		DialOptions(hop)...), grpc.WithDefaultServiceConfig(`{"loadBalancingConfig":[{"round_robin":{}}]}`))...)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // a test's
	finished := make(chan error, 1)
	stream, err := pb.NewTestServiceClient(conn).FullDuplexCall(call(t, "s", onehop.Idempotent()), grpc.OnFinish(func(err error) { finished <- err }))
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := stream.Send(&pb.StreamingOutputCallRequest{}); err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Recv(); err != nil {
			t.Fatal(err)
		}
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err == nil {
		t.Error("it did not end")
	}
	if err := <-finished; err != nil {
		t.Error(err)
	}
}

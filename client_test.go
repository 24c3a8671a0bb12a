package onehop_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/onehop-go/onehop"
	"github.com/onehop-go/onehop/internal/consultest"
	"github.com/onehop-go/onehop/policy"
	"github.com/onehop-go/onehop/resolver"
)

func TestWrongUseIsAnError(t *testing.T) {
	hop := newClient(t, policy.Default(), []string{"127.0.0.1:1"})
	closed := newClient(t, policy.Default(), []string{"127.0.0.1:1"})
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	try := func(ctx context.Context, u *onehop.Upstream) error {
		_, err := onehop.Do(ctx, u, asking)
		return err
	}
	var noContext context.Context
	var noClient *onehop.Client
	tests := []struct {
		name string
		err  error
		why  onehop.Reason
		says string
	}{
		{"nil client", try(t.Context(), noClient.Upstream("pay")), onehop.ReasonInvalid, "onehop.New"},
		{"nil client dials", func() error { _, err := noClient.DialContext(t.Context(), "tcp", "pay:1"); return err }(), onehop.ReasonInvalid, "onehop.New"},
		{"nil client ready", noClient.Ready(t.Context(), "pay"), onehop.ReasonInvalid, "onehop.New"},
		{"nil upstream", try(t.Context(), nil), onehop.ReasonInvalid, "Client.Upstream"},
		{"nil context", try(noContext, hop.Upstream("pay")), onehop.ReasonInvalid, "context"},
		{"nil context dials", func() error { _, err := hop.DialContext(noContext, "tcp", "pay:1"); return err }(), onehop.ReasonInvalid, "context"},
		{"nil try", func() error {
			_, err := onehop.Do[int](t.Context(), hop.Upstream("pay"), nil)
			return err
		}(), onehop.ReasonInvalid, "try"},
		{"empty name", try(t.Context(), hop.Upstream("")), onehop.ReasonInvalid, ""},
		{"empty target", try(t.Context(), hop.UpstreamTarget(resolver.Target{})), onehop.ReasonInvalid, "service"},
		{"bad name", try(t.Context(), hop.Upstream("a b")), onehop.ReasonInvalid, "a b"},
		{"no port", func() error { _, err := hop.DialContext(t.Context(), "tcp", "pay"); return err }(), onehop.ReasonInvalid, "host:port"},
		{"unknown service", try(t.Context(), hop.Upstream("pya")), onehop.ReasonNoEndpoints, "pya"},
		{"closed", try(t.Context(), closed.Upstream("pay")), onehop.ReasonClosed, "closed"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if onehop.ReasonOf(tt.err) != tt.why || !strings.Contains(tt.err.Error(), tt.says) {
				t.Errorf("got %v; want reason %s and the words %q", tt.err, tt.why, tt.says)
			}
		})
	}
}

func TestNewRefusesWrongSettings(t *testing.T) {
	broken := policy.Default()
	broken.Retry.MaxAttempts = 50
	tests := []struct {
		name string
		opts []onehop.Option
		env  string
		says string
	}{
		{"nil option", []onehop.Option{nil}, "", "nil"},
		{"policy out of range", []onehop.Option{onehop.WithPolicies(policy.Static{"pay": broken})}, "", "pay"},
		{"mode", nil, "enforced", "ONEHOP_MODE"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("ONEHOP_MODE", tt.env)
			hop, err := onehop.New(tt.opts...)
			if err == nil {
				_ = hop.Close()
				t.Fatal("no error")
			}
			if !strings.Contains(err.Error(), tt.says) {
				t.Errorf("%v does not say %q", err, tt.says)
			}
		})
	}
}

func TestReadyNamesTheLaggards(t *testing.T) {
	a := startInstance(t)
	hop, err := onehop.New(
		onehop.WithResolver(resolver.Static{"pay": {a.addr()}, "down": {consultest.Addr(t)}}),
		onehop.WithPolicies(policy.Static{}))
	if err != nil {
		t.Fatal(err)
	}
	defer hop.Close() //nolint:errcheck // never fails
	if err := hop.Ready(t.Context(), "pay"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err = hop.Ready(ctx, "pay", "down", "missing")
	for _, name := range []string{"down", "missing"} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v does not name %s", err, name)
		}
	}
}

func TestCloseEndsCallsInFlight(t *testing.T) {
	hop := newClient(t, policy.Default(), []string{"127.0.0.1:1"})
	began := make(chan struct{})
	done := make(chan error, 1)
	go func() {
		_, err := onehop.Do(t.Context(), hop.Upstream("pay"), func(ctx context.Context, _ resolver.Endpoint) (int, error) {
			close(began)
			<-ctx.Done()
			return 0, ctx.Err()
		}, onehop.Idempotent())
		done <- err
	}()
	<-began
	if err := hop.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; onehop.ReasonOf(err) != onehop.ReasonClosed {
		t.Errorf("got %v; want closed", err)
	}
}

func TestDialContextMovesOnAndCountsWhatIsOpen(t *testing.T) {
	a, b := startInstance(t), startInstance(t)
	patient := policy.Default()
	patient.ConnectTimeout = time.Minute // not one that a busy machine exceeds
	hop := newClient(t, patient, []string{a.addr(), consultest.Addr(t), b.addr()})
	var conns []net.Conn
	per := map[string]int{}
	for range 40 {
		conn, err := hop.DialContext(t.Context(), "tcp", "pay:5432")
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, conn)
		who, err := askOver(conn)
		if err != nil {
			t.Fatal(err)
		}
		per[who]++
	}
	// The one with the fewest is next: they stay even.
	if d := per[a.addr()] - per[b.addr()]; d < -1 || d > 1 {
		t.Errorf("spread %v; want even", per)
	}
	if _, ok := conns[0].(interface {
		ReadFrom(io.Reader) (int64, error)
	}); !ok {
		t.Error("the connection lost ReadFrom: no splice")
	}
	if err := hop.Close(); err != nil {
		t.Fatal(err)
	}
	for _, c := range conns {
		if _, err := askOver(c); err == nil {
			t.Fatal("a connection outlived Close")
		}
		_ = c.Close()
	}
}

func TestDialContextDialsOtherHostsAsWritten(t *testing.T) {
	a := startInstance(t)
	hop := newClient(t, policy.Default(), nil)
	conn, err := hop.DialContext(t.Context(), "tcp", a.addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // a test's client
	if who, err := askOver(conn); err != nil || who != a.addr() {
		t.Errorf("answered by %q, %v", who, err)
	}
	if got, err := hop.LookupHost(t.Context(), "pay"); err != nil || len(got) != 1 || got[0] != "pay" {
		t.Errorf("LookupHost: %v, %v; want the name itself", got, err)
	}
	if got, err := hop.LookupHost(t.Context(), "localhost"); err != nil || len(got) == 0 {
		t.Errorf("LookupHost(localhost): %v, %v", got, err)
	}
}

func TestObserversAreToldInOrder(t *testing.T) {
	a := startInstance(t)
	var calls []onehop.Call
	var attempts []onehop.Attempt
	type tag struct{}
	o := onehop.Observer{
		CallStart: func(ctx context.Context, c onehop.Call) context.Context {
			return context.WithValue(ctx, tag{}, c.Method)
		},
		AttemptStart: func(ctx context.Context, _ onehop.Attempt) context.Context { return ctx },
		AttemptDone:  func(_ context.Context, a onehop.Attempt) { attempts = append(attempts, a) },
		CallDone: func(ctx context.Context, c onehop.Call) {
			if ctx.Value(tag{}) != "get" {
				t.Error("the context of CallStart did not travel")
			}
			calls = append(calls, c)
		},
	}
	hop := newClient(t, policy.Default(), []string{consultest.Addr(t), a.addr()}, onehop.WithObserver(o), onehop.WithObserver(onehop.Observer{}))
	for len(attempts) == len(calls) { // until a call meets the dead one
		_, err := onehop.Do(t.Context(), hop.Upstream("pay"), func(ctx context.Context, ep resolver.Endpoint) (string, error) {
			if ctx.Value(tag{}) != "get" {
				t.Error("the context of CallStart did not reach the attempt")
			}
			return ask(ep.Addr)
		}, onehop.Method("get"))
		if err != nil {
			t.Fatal(err)
		}
	}
	last := attempts[len(attempts)-2:]
	if last[0].Outcome != onehop.OutcomeRefused || last[1].Outcome != onehop.OutcomeOK || last[1].Duration <= 0 {
		t.Errorf("attempts %+v", last)
	}
	if c := calls[len(calls)-1]; c.Attempts != 2 || c.Protocol != "do" || c.Err != nil || c.Duration <= 0 {
		t.Errorf("call %+v", c)
	}
}

func TestReasonOfOtherErrors(t *testing.T) {
	if r := onehop.ReasonOf(errors.New("mine")); r != "" {
		t.Errorf("got %q", r)
	}
}

// late is a policy source that publishes when it is told to.
type late struct {
	policy.Policy
	now chan struct{}
}

func (l late) Watch(ctx context.Context, _ string, publish func(policy.Revision, error)) {
	select {
	case <-l.now:
		publish(policy.Revision{Policy: l.Policy, Origin: "test"}, nil)
	case <-ctx.Done():
	}
}

// Calls that wait for the policy are let go once all of it is in force, the subset too.
func TestFirstCallsKeepToTheSubset(t *testing.T) {
	p := policy.Default()
	p.LoadBalancing.Subset = 1
	addrs := make([]string, 10)
	for i := range addrs {
		addrs[i] = fmt.Sprintf("192.0.2.%d:80", i+1)
	}
	for range 300 {
		begun := time.Now()
		source := late{p, make(chan struct{})}
		resolved := make(chan struct{}, 1)
		hop, err := onehop.New(
			onehop.WithResolver(resolver.Static{"pay": addrs}), onehop.WithPolicies(source), onehop.WithLogger(slog.New(slog.DiscardHandler)),
			onehop.WithObserver(onehop.Observer{Resolved: func(context.Context, resolver.Target, resolver.Snapshot, error) { resolved <- struct{}{} }}),
		)
		if err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		called := map[string]bool{}
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				_, err := onehop.Do(t.Context(), hop.Upstream("pay"), func(_ context.Context, e resolver.Endpoint) (string, error) {
					mu.Lock()
					defer mu.Unlock()
					called[e.Addr] = true
					return "", nil
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		<-resolved
		close(source.now)
		wg.Wait()
		if err := hop.Close(); err != nil {
			t.Error(err)
		}
		if len(called) != 1 && time.Since(begun) < 2*time.Second { // nobody waits for a policy for longer than 3 s
			t.Fatalf("%d endpoints were called; the subset is one", len(called))
		}
	}
}

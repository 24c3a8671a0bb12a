package onehop_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"syscall"
	"testing"
	"time"

	"github.com/onehop-go/onehop"
	"github.com/onehop-go/onehop/internal/consultest"
	"github.com/onehop-go/onehop/policy"
	"github.com/onehop-go/onehop/resolver"
)

func asking(_ context.Context, ep resolver.Endpoint) (string, error) { return ask(ep.Addr) }

func TestDoAnswersFromAnInstance(t *testing.T) {
	a, b := startInstance(t), startInstance(t)
	hop := newClient(t, policy.Default(), []string{a.addr(), b.addr()})
	for range 50 {
		if _, err := onehop.Do(t.Context(), hop.Upstream("pay"), asking); err != nil {
			t.Fatal(err)
		}
	}
	if a.served() == 0 || b.served() == 0 || a.served()+b.served() != 50 {
		t.Errorf("served %d and %d; want both used, 50 in all", a.served(), b.served())
	}
}

// What was never sent moves on, whatever the call: no attempt of it was on the wire.
func TestDoMovesOnFromADeadInstance(t *testing.T) {
	live := startInstance(t)
	hop := newClient(t, policy.Default(), []string{consultest.Addr(t), live.addr(), consultest.Addr(t)})
	for range 30 {
		if _, err := onehop.Do(t.Context(), hop.Upstream("pay"), asking, onehop.NoRetry()); err != nil {
			t.Fatal(err)
		}
	}
	if live.served() != 30 {
		t.Errorf("served %d; want 30", live.served())
	}
}

func TestDoNamesEveryAttempt(t *testing.T) {
	dead := []string{consultest.Addr(t), consultest.Addr(t)}
	hop := newClient(t, policy.Default(), dead)
	_, err := onehop.Do(t.Context(), hop.Upstream("pay"), asking)
	var e *onehop.Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v; want an *onehop.Error", err)
	}
	if e.Reason != onehop.ReasonExhausted || !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("got %v; want attempts_exhausted by refused connections", err)
	}
	// One free move, as there are two endpoints, then attempts that count.
	if want := 1 + policy.Default().Retry.MaxAttempts; len(e.Attempts) != want {
		t.Errorf("%d attempts; want %d: %v", len(e.Attempts), want, err)
	}
	for i, a := range e.Attempts {
		if a.Number != i+1 || a.Endpoint.Addr == "" || a.Outcome != onehop.OutcomeRefused || a.Err == nil || a.Start.IsZero() {
			t.Errorf("attempt %d is %+v", i, a)
		}
	}
}

func TestDoReturnsTheApplicationsErrorAsItIs(t *testing.T) {
	a := startInstance(t)
	hop := newClient(t, policy.Default(), []string{a.addr()})
	own := errors.New("no such row")
	calls := 0
	_, err := onehop.Do(t.Context(), hop.Upstream("pay"), func(context.Context, resolver.Endpoint) (int, error) {
		calls++
		return 0, own
	}, onehop.Idempotent())
	if err != own || calls != 1 { //nolint:errorlint // as it is means the very value
		t.Errorf("got %v after %d calls; want the error itself after 1", err, calls)
	}
}

func TestDoRetriesOnlyWhatMayBeRepeated(t *testing.T) {
	tests := []struct {
		name  string
		opts  []onehop.CallOption
		calls int
		why   onehop.Reason
	}{
		{"not idempotent", nil, 1, onehop.ReasonUnsafe},
		{"idempotent", []onehop.CallOption{onehop.Idempotent()}, 3, onehop.ReasonExhausted},
		{"no retry", []onehop.CallOption{onehop.Idempotent(), onehop.NoRetry()}, 1, onehop.ReasonPolicy},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			hop := newClient(t, policy.Default(), []string{"127.0.0.1:1"})
			calls := 0
			_, err := onehop.Do(t.Context(), hop.Upstream("pay"), func(context.Context, resolver.Endpoint) (int, error) {
				calls++
				return 0, fmt.Errorf("reading: %w", syscall.ECONNRESET)
			}, tt.opts...)
			if calls != tt.calls || onehop.ReasonOf(err) != tt.why || !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("%d calls, %v; want %d, %s", calls, err, tt.calls, tt.why)
			}
		})
	}
}

func TestClassifyDecides(t *testing.T) {
	hop := newClient(t, policy.Default(), []string{"127.0.0.1:1"})
	calls := 0
	_, err := onehop.Do(t.Context(), hop.Upstream("pay"), func(context.Context, resolver.Endpoint) (int, error) {
		calls++
		return 0, io.EOF
	}, onehop.Idempotent(), onehop.Classify(func(error) onehop.Outcome { return onehop.OutcomeFailed }))
	if calls != 3 || onehop.ReasonOf(err) != onehop.ReasonExhausted {
		t.Errorf("%d calls, %v; want 3 attempts", calls, err)
	}
}

func TestDoObeysTheTimeout(t *testing.T) {
	hang := func(ctx context.Context, _ resolver.Endpoint) (int, error) {
		<-ctx.Done()
		return 0, ctx.Err()
	}
	p := policy.Default()
	p.Timeout = 20 * time.Millisecond
	hop := newClient(t, p, []string{"127.0.0.1:1"})
	_, err := onehop.Do(t.Context(), hop.Upstream("pay"), hang, onehop.Idempotent())
	if onehop.ReasonOf(err) != onehop.ReasonDeadline || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("by policy: %v; want deadline", err)
	}
	var e *onehop.Error
	if errors.As(err, &e) && !e.Timeout() {
		t.Errorf("Timeout() is false for %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = onehop.Do(ctx, hop.Upstream("pay"), hang, onehop.Timeout(0))
	if onehop.ReasonOf(err) != onehop.ReasonCanceled || !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestARouteNamesTheMethod(t *testing.T) {
	p := policy.Default()
	get := policy.Route{Name: "get", Match: policy.Match{Methods: []string{"get"}}, Idempotent: true, Settings: p.Settings}
	p.Routes = []policy.Route{get}
	hop := newClient(t, p, []string{"127.0.0.1:1"})
	calls := 0
	_, err := onehop.Do(t.Context(), hop.Upstream("pay"), func(context.Context, resolver.Endpoint) (int, error) {
		calls++
		return 0, syscall.ECONNRESET
	}, onehop.Method("get"))
	var e *onehop.Error
	if !errors.As(err, &e) || e.Route != "get" || calls != 3 {
		t.Errorf("%d calls, %v; want 3 by route get", calls, err)
	}
}

func TestFaultInjectionChargesNobody(t *testing.T) {
	a := startInstance(t)
	injected := 0
	o := onehop.Observer{AttemptDone: func(_ context.Context, a onehop.Attempt) {
		if a.Outcome == onehop.OutcomeInjected {
			injected++
		}
	}}
	p := policy.Default()
	p.Budget.Min = 100
	hop := newClient(t, p, []string{a.addr()}, onehop.WithObserver(o), onehop.WithFaultInjection(onehop.Fault{AbortShare: 0.3}))
	for range 200 {
		_, err := onehop.Do(t.Context(), hop.Upstream("pay"), asking, onehop.Idempotent())
		if err != nil && onehop.ReasonOf(err) != onehop.ReasonExhausted {
			t.Fatal(err)
		}
	}
	if injected < 30 || a.served() < 150 {
		t.Errorf("%d injected, %d served; want about 80 and nearly all of 200", injected, a.served())
	}
	if _, err := onehop.New(onehop.WithFaultInjection(onehop.Fault{Service: "pay", AbortShare: 30})); err == nil {
		t.Error("a share of 30 was accepted")
	}
}

//nolint:errcheck // an example reads as a program does
package onehop_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/onehop-go/onehop"
	"github.com/onehop-go/onehop/httpclient"
	"github.com/onehop-go/onehop/policy"
	"github.com/onehop-go/onehop/resolver"
)

// startServer serves h until the example ends and returns its address.
func startServer(h http.HandlerFunc) (addr string, stop func()) {
	s := httptest.NewServer(h)
	return s.Listener.Addr().String(), s.Close
}

// closedAddr refuses connections: nobody serves TCP port multiplexing (RFC 1078).
const closedAddr = "127.0.0.1:1"

// noLog keeps the log of an example out of its output.
func noLog() onehop.Option { return onehop.WithLogger(slog.New(slog.DiscardHandler)) }

// Without Consul: endpoints and policy from code, as in tests.
func ExampleNew() {
	addr, stop := startServer(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "42 EUR") })
	defer stop()
	hop, err := onehop.New(
		onehop.WithResolver(resolver.Static{"payments": {addr}}),
		onehop.WithPolicies(policy.Static{}), // every service has policy.Default
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer hop.Close()

	resp, err := httpclient.New(hop).Get("http://payments/v1/charges/42")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	fmt.Println(resp.StatusCode, resp.Request.URL)
	// Output: 200 http://payments/v1/charges/42
}

// Policies in code start from policy.Default. New refuses one that is out of range.
func ExampleWithPolicies() {
	p := policy.Default()
	p.Timeout, p.AttemptTimeout = 2*time.Second, 500*time.Millisecond
	charge := policy.Route{
		Name:     "charge",
		Match:    policy.Match{Methods: []string{"POST"}, PathPrefix: "/v1/charges"},
		Settings: p.Settings, // then what differs
	}
	charge.Timeout = 5 * time.Second
	p.Routes = []policy.Route{charge}
	hop, err := onehop.New(
		onehop.WithResolver(resolver.Static{"payments": {"127.0.0.1:8080"}}),
		onehop.WithPolicies(policy.Static{"payments": p}),
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer hop.Close()

	p.Retry.MaxAttempts = 50
	_, err = onehop.New(
		onehop.WithResolver(resolver.Static{}),
		onehop.WithPolicies(policy.Static{"payments": p}),
	)
	fmt.Println(err)
	// Output: onehop: policy of "payments": retry.max_attempts: 50 is out of range: from 1 to 5 (start from policy.Default)
}

// Ready keeps a process out of the load balancer until what it depends on can be called.
func ExampleClient_Ready() {
	addr, stop := startServer(func(http.ResponseWriter, *http.Request) {})
	defer stop()
	hop, err := onehop.New(
		onehop.WithResolver(resolver.Static{"payments": {addr}, "inventory": {}}),
		onehop.WithPolicies(policy.Static{}),
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer hop.Close()

	fmt.Println("payments:", hop.Ready(context.Background(), "payments"))
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	fmt.Println("both:", onehop.ReasonOf(hop.Ready(ctx, "inventory", "payments")))
	// Output:
	// payments: <nil>
	// both: no_endpoints
}

// Do runs any protocol through the same engine: here one that writes a line and reads one.
func ExampleDo() {
	addr, stop := startServer(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "row 7") })
	defer stop()
	hop, err := onehop.New(
		onehop.WithResolver(resolver.Static{"ledger": {closedAddr, addr}}),
		onehop.WithPolicies(policy.Static{}),
		noLog(),
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer hop.Close()

	status, err := onehop.Do(context.Background(), hop.Upstream("ledger"),
		func(ctx context.Context, ep resolver.Endpoint) (string, error) {
			conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", ep.Addr)
			if err != nil {
				return "", err // refused: the other instance is tried at once
			}
			defer conn.Close()
			if _, err := fmt.Fprint(conn, "GET / HTTP/1.0\r\n\r\n"); err != nil {
				return "", err
			}
			line := make([]byte, len("HTTP/1.0 200 OK"))
			_, err = conn.Read(line)
			return string(line), err
		},
		onehop.Method("get"), onehop.Idempotent())
	fmt.Println(status, err)
	// Output: HTTP/1.0 200 OK <nil>
}

// A POST is not repeated once it may have been executed, unless the code says that it may be.
func ExampleWith() {
	var calls atomic.Int32
	addr, stop := startServer(func(w http.ResponseWriter, _ *http.Request) {
		if calls.Add(1)%2 == 1 { // every first attempt
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	defer stop()
	hop, err := onehop.New(
		onehop.WithResolver(resolver.Static{"payments": {addr}}),
		onehop.WithPolicies(policy.Static{}),
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer hop.Close()
	client := httpclient.New(hop)

	post := func(ctx context.Context) {
		calls.Store(0)
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://payments/v1/charges", strings.NewReader("{}"))
		if err != nil {
			fmt.Println(err)
			return
		}
		resp, err := client.Do(req)
		if err != nil {
			fmt.Println(err)
			return
		}
		resp.Body.Close()
		fmt.Println(resp.StatusCode, "after", calls.Load(), "attempts")
	}
	post(context.Background())
	post(onehop.With(context.Background(), onehop.Idempotent()))
	// Output:
	// 503 after 1 attempts
	// 200 after 2 attempts
}

// An *onehop.Error exists only where there is no response. It names the reason and every attempt, and errors.Is sees
// through it.
func ExampleReasonOf() {
	hop, err := onehop.New(
		onehop.WithResolver(resolver.Static{"payments": {closedAddr}}),
		onehop.WithPolicies(policy.Static{}),
		noLog(),
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer hop.Close()

	resp, err := httpclient.New(hop).Get("http://payments/")
	if err == nil {
		resp.Body.Close()
		return
	}
	fmt.Println(onehop.ReasonOf(err), errors.Is(err, syscall.ECONNREFUSED))
	if e, ok := errors.AsType[*onehop.Error](err); ok {
		for _, a := range e.Attempts {
			fmt.Println(a.Number, a.Outcome)
		}
	}
	// Output:
	// attempts_exhausted true
	// 1 refused
	// 2 refused
	// 3 refused
}

// An Observer is a struct of optional funcs: what is nil is off.
func ExampleObserver() {
	var calls atomic.Int32
	addr, stop := startServer(func(w http.ResponseWriter, _ *http.Request) {
		if calls.Add(1) == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	defer stop()
	hop, err := onehop.New(
		onehop.WithResolver(resolver.Static{"payments": {addr}}),
		onehop.WithPolicies(policy.Static{}),
		onehop.WithObserver(onehop.Observer{
			AttemptDone: func(_ context.Context, a onehop.Attempt) { fmt.Println("attempt", a.Number, a.Outcome) },
			Decided:     func(_ context.Context, d onehop.Decision) { fmt.Println("decided:", d.Action) },
			CallDone:    func(_ context.Context, c onehop.Call) { fmt.Println("call:", c.Method, c.Attempts, "attempts") },
		}),
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer hop.Close()

	resp, err := httpclient.New(hop).Get("http://payments/")
	if err != nil {
		fmt.Println(err)
		return
	}
	resp.Body.Close() // the second end of the attempt, and of the call; hop.Close drains the endpoint
	// Output:
	// decided: retry
	// attempt 1 overloaded
	// attempt 2 ok
	// call: GET 2 attempts
	// decided: drain
}

// With ring_hash the calls of one key stay with one instance.
func ExampleHashKey() {
	here := func(name string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Instance", name) }
	}
	one, stopOne := startServer(here("one"))
	defer stopOne()
	two, stopTwo := startServer(here("two"))
	defer stopTwo()
	p := policy.Default()
	p.LoadBalancing.Algorithm = policy.RingHash
	hop, err := onehop.New(
		onehop.WithResolver(resolver.Static{"carts": {one, two}}),
		onehop.WithPolicies(policy.Static{"carts": p}),
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer hop.Close()

	client, seen := httpclient.New(hop), map[string]bool{}
	ctx := onehop.With(context.Background(), onehop.HashKey("user 7"))
	for range 20 {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://carts/", nil)
		if err != nil {
			fmt.Println(err)
			return
		}
		resp, err := client.Do(req)
		if err != nil {
			fmt.Println(err)
			return
		}
		resp.Body.Close()
		seen[resp.Header.Get("Instance")] = true
	}
	fmt.Println("instances seen:", len(seen))
	// Output: instances seen: 1
}

// Fault injection is for game days, and in code only. No endpoint is charged for it.
func ExampleWithFaultInjection() {
	addr, stop := startServer(func(http.ResponseWriter, *http.Request) {})
	defer stop()
	hop, err := onehop.New(
		onehop.WithResolver(resolver.Static{"payments": {addr}}),
		onehop.WithPolicies(policy.Static{}),
		onehop.WithFaultInjection(onehop.Fault{Service: "payments", AbortShare: 1}),
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer hop.Close()

	resp, err := httpclient.New(hop).Get("http://payments/")
	if err == nil {
		resp.Body.Close()
		return
	}
	if e, ok := errors.AsType[*onehop.Error](err); ok {
		fmt.Println(e.Reason, len(e.Attempts), e.Attempts[0].Outcome)
	}
	// Output: attempts_exhausted 3 injected
}

// DialContext serves whatever takes a dialer; the port is the instance's own.
func ExampleClient_DialContext() {
	addr, stop := startServer(func(http.ResponseWriter, *http.Request) {})
	defer stop()
	hop, err := onehop.New(
		onehop.WithResolver(resolver.Static{"ledger-db": {addr}}),
		onehop.WithPolicies(policy.Static{}),
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer hop.Close()

	// pgx: config.DialFunc, config.LookupFunc = hop.DialContext, hop.LookupHost
	conn, err := hop.DialContext(context.Background(), "tcp", "ledger-db:5432")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.Close()
	fmt.Println(conn.RemoteAddr().String() == addr)
	// Output: true
}

// The Go code of README.md is the code of examples that compile.
func TestREADMEIsCompiled(t *testing.T) {
	var code strings.Builder
	for _, name := range []string{"example_test.go", "httpclient/example_test.go", "grpcresolver/example_test.go"} {
		code.WriteString(leftAligned(t, name))
	}
	blocks := strings.Split(leftAligned(t, "README.md"), "\n```go\n")[1:]
	if len(blocks) < 2 {
		t.Fatalf("README.md has %d blocks of Go, want one for HTTP and one for gRPC at least", len(blocks))
	}
	for _, b := range blocks {
		b, _, _ = strings.Cut(b, "\n```")
		if !strings.Contains(code.String(), b) {
			t.Errorf("no example has this code of README.md:\n%s", b)
		}
	}
}

// leftAligned is a file without the indentation of its lines.
func leftAligned(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(text), "\n")
	for i, l := range lines {
		lines[i] = strings.TrimSpace(l)
	}
	return strings.Join(lines, "\n")
}

//nolint:errcheck,testableexamples // an example reads as a program does; the README's needs a Consul
package httpclient_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"strings"
	"sync/atomic"

	"github.com/onehop-go/onehop"
	"github.com/onehop-go/onehop/httpclient"
	"github.com/onehop-go/onehop/policy"
	"github.com/onehop-go/onehop/resolver"
)

// startPayments starts a service and a Client that finds it without Consul.
func startPayments(h http.HandlerFunc) (hop *onehop.Client, stop func()) {
	s := httptest.NewServer(h)
	hop, err := onehop.New(
		onehop.WithResolver(resolver.Static{"payments": {s.Listener.Addr().String()}}),
		onehop.WithPolicies(policy.Static{}),
	)
	if err != nil {
		panic(err)
	}
	return hop, func() {
		_ = hop.Close()
		s.Close()
	}
}

// With Consul: the agent and the token come from the environment.
func Example() {
	hop, err := onehop.New() // CONSUL_HTTP_ADDR, CONSUL_HTTP_TOKEN, ... ; no I/O yet
	if err != nil {
		fmt.Println(err)
		return
	}
	defer hop.Close()

	client := httpclient.New(hop) // an *http.Client; make one and share it
	resp, err := client.Get("http://payments/v1/charges/42")
	if err != nil {
		fmt.Println(err) // the service, the reason, and each attempt
		return
	}
	defer resp.Body.Close()
	fmt.Println(resp.Status)
}

func ExampleNew() {
	hop, stop := startPayments(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Host) })
	defer stop()

	resp, err := httpclient.New(hop).Get("http://payments/v1/charges/42")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	host := make([]byte, len("payments"))
	_, _ = resp.Body.Read(host)
	fmt.Println(resp.StatusCode, string(host)) // the instance sees the service's name
	// Output: 200 payments
}

// Wrap keeps what a client has: its cookies, redirects, timeout, and its Transport for all other hosts.
func ExampleWrap() {
	var hits atomic.Int32
	hop, stop := startPayments(func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "session", Value: "7"})
		if c, err := r.Cookie("session"); err == nil && c.Value == "7" {
			hits.Add(1)
		}
	})
	defer stop()
	jar, err := cookiejar.New(nil)
	if err != nil {
		fmt.Println(err)
		return
	}

	client, err := httpclient.Wrap(&http.Client{Jar: jar}, hop)
	if err != nil {
		fmt.Println(err) // a Transport that is no *http.Transport: says how to wrap ours instead
		return
	}
	for range 2 {
		resp, err := client.Get("http://payments/")
		if err != nil {
			fmt.Println(err)
			return
		}
		resp.Body.Close()
	}
	fmt.Println(hits.Load(), "request with the cookie")

	_, err = httpclient.Wrap(&http.Client{Transport: httpclient.NewTransport(hop)}, hop)
	fmt.Println(strings.Contains(err.Error(), "wrap ours instead"))
	// Output:
	// 1 request with the cookie
	// true
}

// WithHosts decides which hosts are services, for names that no host rule can know.
func ExampleWithHosts() {
	hop, stop := startPayments(func(http.ResponseWriter, *http.Request) {})
	defer stop()

	client := httpclient.New(hop, httpclient.WithHosts(func(host string) (resolver.Target, bool) {
		name, ours := strings.CutSuffix(host, ".svc.example.com")
		return resolver.Target{Service: name}, ours
	}))
	resp, err := client.Get("http://payments.svc.example.com/")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	fmt.Println(resp.StatusCode)
	// Output: 200
}

// An Idempotency-Key makes a POST one that may be repeated, as net/http has it.
func ExampleTransport() {
	var calls atomic.Int32
	hop, stop := startPayments(func(w http.ResponseWriter, r *http.Request) {
		if calls.Add(1) == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		fmt.Fprint(w, r.Header.Get("X-Envoy-Attempt-Count")) // from the second attempt on
	})
	defer stop()

	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, "http://payments/v1/charges", strings.NewReader("{}"))
	if err != nil {
		fmt.Println(err)
		return
	}
	req.Header.Set("Idempotency-Key", "7f9c")
	resp, err := (&http.Client{Transport: httpclient.NewTransport(hop)}).Do(req)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	fmt.Println(resp.StatusCode, "after", calls.Load(), "attempts")
	// Output: 200 after 2 attempts
}

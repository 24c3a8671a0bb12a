// This file is laid over net/http's own test package by TestNetHTTP of package httpclient: it routes every client that
// newClientServerTest makes through a wrapper, so that net/http's tests judge the wrapper.
package http_test

import (
	"context"
	"net"
	. "net/http"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/onehop-go/onehop"
	"github.com/onehop-go/onehop/httpclient"
	"github.com/onehop-go/onehop/policy"
	"github.com/onehop-go/onehop/resolver"
)

// wrapClient is called at the end of newClientServerTest. ONEHOP_NETHTTP says what of the wrapper is used: "wrapped" all of
// it, "base" all but its own transports (the test's own serves instead, for tests that look into it), "plain" nothing.
func wrapClient(cst *clientServerTest) {
	if os.Getenv("ONEHOP_NETHTTP") == "plain" {
		return
	}
	rt := &lazyTransport{base: cst.tr, t: cst.t}
	cst.c.Transport = rt
	cst.t.Cleanup(rt.CloseIdleConnections)
}

// lazyTransport builds the wrapper at the first request, because tests change the base Transport after making the server.
type lazyTransport struct {
	base *Transport
	t    testing.TB
	once sync.Once
	rt   *httpclient.Transport
}

func (l *lazyTransport) RoundTrip(r *Request) (*Response, error) {
	l.once.Do(func() {
		record(l.t.Name())
		hop, err := onehop.New(onehop.WithResolver(itself{}), onehop.WithPolicies(policy.Static{}))
		if err != nil {
			panic(err)
		}
		opts := []httpclient.Option{httpclient.WithTransport(l.base), httpclient.WithHosts(l.hosts)}
		if os.Getenv("ONEHOP_NETHTTP") == "base" {
			opts = append(opts, httpclient.WithMiddleware(func(RoundTripper) RoundTripper { return l.base }))
		}
		l.rt = httpclient.NewTransport(hop, opts...)
		l.t.Cleanup(func() { hop.Close() })
	})
	return l.rt.RoundTrip(r)
}

func (l *lazyTransport) CloseIdleConnections() {
	l.base.CloseIdleConnections()
	if l.rt != nil {
		l.rt.CloseIdleConnections()
	}
}

// hosts says that each host is a service, but where the test is about a proxy: a service is never called through one.
func (l *lazyTransport) hosts(host string) (resolver.Target, bool) {
	return resolver.Target{Service: host}, l.base.Proxy == nil && host != ""
}

// itself resolves a host to its own address.
type itself struct{}

func (itself) Watch(_ context.Context, t resolver.Target, publish func(resolver.Snapshot, error)) {
	addr := t.Service
	if _, _, err := net.SplitHostPort(addr); err != nil {
		addr = net.JoinHostPort(strings.Trim(addr, "[]"), "80")
	}
	publish(resolver.Snapshot{Endpoints: []resolver.Endpoint{{Addr: addr}}, Origin: "test"}, nil)
}

// baseOf replaces the type assertion c.Transport.(*Transport) in net/http's tests.
func baseOf(rt RoundTripper) *Transport {
	if l, ok := rt.(*lazyTransport); ok {
		return l.base
	}
	return rt.(*Transport)
}

// record notes that a test really sent a request through the wrapper.
func record(test string) {
	f, err := os.OpenFile(os.Getenv("ONEHOP_NETHTTP_LEDGER"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		panic(err)
	}
	defer f.Close()
	f.WriteString(test + "\n")
}

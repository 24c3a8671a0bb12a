// This file is laid over net/http's own test package by TestNetHTTP of package httpclient: it routes every client that
// newClientServerTest makes through a wrapper, so that net/http's tests judge the wrapper.
package http_test

import (
	"context"
	. "net/http"
	"os"
	"sync"
)

// wrapClient is called at the end of newClientServerTest. ONEHOP_NETHTTP names what is put around the transport.
func wrapClient(cst *clientServerTest) {
	if os.Getenv("ONEHOP_NETHTTP") == "plain" {
		return
	}
	rt := &lazyTransport{base: cst.tr, test: cst.t.Name(), build: func() RoundTripper { return copying{cst.tr} }}
	cst.c.Transport = rt
	cst.t.Cleanup(rt.CloseIdleConnections)
}

// lazyTransport builds the wrapper at the first request, because tests change the base Transport after making the server.
type lazyTransport struct {
	base  *Transport
	test  string
	build func() RoundTripper
	once  sync.Once
	rt    RoundTripper
}

func (l *lazyTransport) RoundTrip(r *Request) (*Response, error) {
	l.once.Do(func() {
		l.rt = l.build()
		record(l.test)
	})
	return l.rt.RoundTrip(r)
}

func (l *lazyTransport) CloseIdleConnections() {
	l.base.CloseIdleConnections()
	if c, ok := l.rt.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
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

// copying is the least a wrapper does: a shallow copy under another context.
type copying struct{ rt RoundTripper }

func (c copying) RoundTrip(r *Request) (*Response, error) {
	ctx, cancel := context.WithCancel(r.Context())
	context.AfterFunc(ctx, cancel)
	resp, err := c.rt.RoundTrip(r.WithContext(ctx))
	if resp != nil {
		resp.Request = r
	}
	return resp, err
}

// Package httpclient calls services through net/http.
//
// New gives a *http.Client, NewTransport the http.RoundTripper under it, and Wrap puts that under an existing client. A
// request whose host is a service goes to one of the service's instances; every other host passes through untouched. Each
// instance has an http.Transport of its own, so the caller's request, resp.Request, redirects, cookies, the Host header and
// the TLS name stay those of the logical host, and an instance that leaves drains by itself.
//
// The policy's retries repeat only what is safe (see onehop.Idempotent), a request's body only through GetBody; the last
// failed attempt's response is what the caller gets, and an *onehop.Error exists only where there is no response.
package httpclient

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/onehop-go/onehop"
	"github.com/onehop-go/onehop/resolver"
)

// Option configures New, NewTransport and Wrap.
type Option func(*options)

type options struct {
	base       *http.Transport
	hosts      func(string) (resolver.Target, bool)
	middleware func(http.RoundTripper) http.RoundTripper
	classifier func(*http.Response, error) onehop.Outcome
	tellTime   bool
}

// New returns a client for the services that hop finds, over a clone of net/http's default settings. Make one and share
// it. A nil hop fails every call to a service.
func New(hop *onehop.Client, opts ...Option) *http.Client {
	return &http.Client{Transport: NewTransport(hop, opts...)}
}

// Wrap returns a copy of c whose calls to services go through hop; cookies, redirects and Timeout stay c's, and c's own
// Transport goes on serving all other hosts. The Transport of each instance is a clone of c's, so c's must be an
// *http.Transport or nil. An instrumented one is wrapped the other way round:
//
//	otelhttp.NewTransport(httpclient.NewTransport(hop))
func Wrap(c *http.Client, hop *onehop.Client, opts ...Option) (*http.Client, error) {
	if c == nil {
		return nil, errors.New("httpclient.Wrap: the client is nil: use httpclient.New, or wrap http.DefaultClient")
	}
	rt := c.Transport
	if rt == nil {
		rt = http.DefaultTransport
	}
	base, ok := rt.(*http.Transport)
	if !ok || base == nil {
		return nil, fmt.Errorf("httpclient.Wrap: the client's Transport is a %T, of which no copy per instance can be made: "+
			"wrap ours instead, as in otelhttp.NewTransport(httpclient.NewTransport(hop)), "+
			"or give its settings by WithTransport and its behaviour by WithMiddleware", rt)
	}
	wrapped := *c
	wrapped.Transport = NewTransport(hop, append([]Option{WithTransport(base)}, opts...)...)
	return &wrapped, nil
}

// WithTransport gives the settings of the instances' transports, which are clones of base: TLS, sizes, dialers. base itself
// serves the hosts that are no services, with its proxy and its connections. Its MaxConnsPerHost holds for each instance;
// its Proxy does not concern them, idle connections are kept for at most 30 s, and at least 64 of them. nil: the default.
func WithTransport(base *http.Transport) Option { return func(o *options) { o.base = base } }

// WithHosts replaces resolver.ParseHost as the rule of which hosts are services. host is URL.Host as the caller wrote it,
// port included; false passes the request through. f is called for every request, concurrently. nil: the default.
func WithHosts(f func(host string) (resolver.Target, bool)) Option {
	return func(o *options) { o.hosts = f }
}

// WithMiddleware puts f's RoundTripper around the transport of each instance, for what is to see every attempt, such as
// per-attempt spans. It must keep the request's context. nil: none.
func WithMiddleware(f func(http.RoundTripper) http.RoundTripper) Option {
	return func(o *options) { o.middleware = f }
}

// WithClassifier judges attempts in the caller's own way; "" leaves one to the default. It gets the response or the error,
// must not read the body, and is called concurrently. It is not asked about an attempt that the caller, a deadline or
// onehop itself ended. To the policy's `when` a response judged failed is a server_error and one judged overloaded
// unavailable, whatever its status. nil: the default.
func WithClassifier(f func(*http.Response, error) onehop.Outcome) Option {
	return func(o *options) { o.classifier = f }
}

// WithDeadlineHeader tells the services how much time is left of a call that has a deadline, the caller's or the policy's,
// in milliseconds by the header x-envoy-expected-rq-timeout-ms, anew for each attempt. Off by default: not every service
// may be told, and some proxies obey it.
func WithDeadlineHeader() Option { return func(o *options) { o.tellTime = true } }

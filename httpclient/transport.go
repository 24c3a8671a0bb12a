package httpclient

import (
	"net/http"
	"sync"

	"github.com/onehop-go/onehop"
	"github.com/onehop-go/onehop/internal/bridge"
	"github.com/onehop-go/onehop/internal/engine"
	"github.com/onehop-go/onehop/internal/health"
	"github.com/onehop-go/onehop/resolver"
)

// Transport is the innermost RoundTripper: wrap it (otelhttp.NewTransport(httpclient.NewTransport(hop))), it wraps nothing.
// It keeps the contract of http.RoundTripper to the letter. Safe for concurrent use.
type Transport struct {
	options
	hop      *onehop.Client
	template *http.Transport   // what the instances' transports are clones of
	pass     http.RoundTripper // for hosts that are no services
	conns    conns

	mu    sync.Mutex
	pools map[*pool]struct{}
}

// NewTransport returns a Transport over hop. Its connections close with hop; CloseIdleConnections closes idle ones earlier.
func NewTransport(hop *onehop.Client, opts ...Option) *Transport {
	t := &Transport{hop: hop, pools: map[*pool]struct{}{}}
	for _, opt := range opts {
		if opt != nil {
			opt(&t.options)
		}
	}
	if t.hosts == nil {
		t.hosts = resolver.ParseHost
	}
	t.setBase()
	t.conns.init()
	bridge.OnClose(hop, t.close)
	return t
}

// setBase takes the settings. Those of net/http's default bring a dialer whose timeouts are not the policy's and that does
// not notice a vanished peer: ours takes its place towards services.
func (t *Transport) setBase() {
	base := t.base
	if base == nil {
		if d, ok := http.DefaultTransport.(*http.Transport); ok {
			base = d.Clone()
		} else {
			base = &http.Transport{Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true}
		}
	}
	t.pass, t.template = base, base.Clone()
	if t.base == nil || http.RoundTripper(t.base) == http.DefaultTransport {
		t.template.DialContext = nil
	}
}

// call is one RoundTrip.
type call struct {
	engine.Call
	transport *Transport
	req       *http.Request // the caller's: never modified
	bodyUsed  bool          // an attempt has had the caller's body
	upload    *upload       // the last attempt's body, where it is watched
	sent      int           // attempts of which a server may have seen something
	local     error         // the caller's own fault: net/http explains it
	last      *exchange
	first     exchange
}

// NewAttempt implements engine.Protocol.
func (c *call) NewAttempt() engine.Attempt {
	x := &c.first
	if c.last != nil {
		x = &exchange{}
	}
	x.call, c.last = c, x
	return x
}

// RoundTrip implements http.RoundTripper.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	target, ok := t.target(r)
	if !ok {
		return t.pass.RoundTrip(r)
	}
	up, err := bridge.Upstream(t.hop, target)
	if err != nil {
		closeBody(r)
		return nil, err
	}
	c := &call{transport: t, req: r}
	c.Protocol, c.Method, c.Path = "http", method(r), r.URL.EscapedPath()
	c.Safe, c.Replayable = safe(r), rewindable(r)
	c.Options = engine.OptionsOf(r.Context())
	if err := c.Run(r.Context(), up, c); err != nil {
		c.abandon()
		awaitClientTimeout(r)
		if c.local != nil {
			return nil, c.local
		}
		return nil, bridge.Error(err)
	}
	return c.last.deliver(), nil
}

// target is what a request calls; false: it is not for us.
func (t *Transport) target(r *http.Request) (resolver.Target, bool) {
	if r.URL == nil || r.Header == nil || r.URL.Scheme != "http" && r.URL.Scheme != "https" {
		return resolver.Target{}, false // net/http says what is wrong
	}
	return t.hosts(r.URL.Host)
}

func method(r *http.Request) string {
	if r.Method == "" {
		return http.MethodGet
	}
	return r.Method
}

// abandon closes the caller's body after a call without a response, whatever became of it.
func (c *call) abandon() {
	if c.upload != nil {
		c.upload.abandon()
	}
	if !c.bodyUsed {
		closeBody(c.req)
	}
}

func closeBody(r *http.Request) {
	if r.Body != nil {
		r.Body.Close() //nolint:errcheck,gosec // RoundTrip's duty is to close it
	}
}

// poolOf is the pool of the endpoint that an attempt picked, made at its first use.
func (t *Transport) poolOf(x *exchange) *pool {
	return x.Endpoint().Attached(t, func(e *health.Endpoint) health.Attachment {
		p := newPool(t.template, e.Addr(), dialer{conns: &t.conns, connectTimeout: x.Call().Upstream().ConnectTimeout})
		if t.middleware != nil {
			p.rt = t.middleware(p.transport)
		}
		p.onDrain = t.forget
		t.mu.Lock()
		t.pools[p] = struct{}{}
		t.mu.Unlock()
		return p
	}).(*pool) //nolint:forcetypeassert // ours
}

func (t *Transport) forget(p *pool) {
	t.mu.Lock()
	delete(t.pools, p)
	t.mu.Unlock()
}

// CloseIdleConnections closes the connections of all endpoints that are idle, as http.Client.CloseIdleConnections expects.
func (t *Transport) CloseIdleConnections() {
	t.mu.Lock()
	pools := make([]*pool, 0, len(t.pools))
	for p := range t.pools {
		pools = append(pools, p)
	}
	t.mu.Unlock()
	for _, p := range pools {
		p.transport.CloseIdleConnections()
	}
	if c, ok := t.pass.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// close breaks what is in flight to services: the Client closes. The base transport of the caller goes on.
func (t *Transport) close() {
	t.conns.close()
	if t.base == nil {
		t.CloseIdleConnections()
	}
}

// reclassify lets the caller's classifier speak about what the endpoint did.
func (t *Transport) reclassify(r engine.Result, resp *http.Response, err error) engine.Result {
	if t.classifier == nil || r.Ended != engine.ByEndpoint {
		return r
	}
	if o, ok := health.ParseOutcome(string(t.classifier(resp, err))); ok {
		r.Outcome = o
	}
	return r
}

package httpclient

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"

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
	known    hosts

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
	t.pass, t.template = base, clone(base)
	if t.base == nil || http.RoundTripper(t.base) == http.DefaultTransport {
		t.template.DialContext = nil
	}
}

// call is one RoundTrip.
type call struct {
	engine.Call
	transport *Transport
	req       *http.Request // the caller's: never modified
	source    *source       // of the request's body; nil: it has none
	sent      atomic.Int32  // attempts of which a server may have seen something
	begun     bool          // first is taken
	first     exchange
}

// timedCall is a call under a policy that sets times, again in one allocation. A policy that comes while the call waits for
// it finds a call without a clock; then the attempts get theirs one by one.
type timedCall struct {
	call
	clock clock
}

func newCall(timed bool) *call {
	if !timed {
		return &call{}
	}
	c := &timedCall{}
	c.first.clock = &c.clock
	return &c.call
}

// NewAttempt implements engine.Protocol.
func (c *call) NewAttempt() engine.Attempt {
	x := &c.first
	if c.begun {
		x = &exchange{}
	}
	if x.clock == nil && c.Timed() {
		x.clock = &clock{}
	}
	c.begun, x.call = true, c
	return x
}

// RoundTrip implements http.RoundTripper.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	up, ours, err := t.upstream(r)
	if !ours {
		return t.pass.RoundTrip(r)
	}
	if err != nil {
		closeBody(r)
		return nil, err
	}
	ctx := r.Context()
	options := engine.OptionsOf(ctx)
	c := newCall(up.Timed() || options != nil && options.HasTimeout)
	c.transport, c.req, c.Options = t, r, options
	c.Protocol, c.Method, c.Path = "http", method(r), escapedPath(r.URL)
	c.Safe, c.Replayable = safe(r), rewindable(r)
	_, c.Retried = r.Header[attemptCount]
	if field := up.HashField(); field != "" {
		c.Keyed(r.Header.Get(field))
	}
	if hasBody(r) {
		c.source = &source{req: r}
	}
	if err := c.Run(ctx, up, c); err != nil {
		return nil, c.fail(err)
	}
	return c.Winner().(*exchange).deliver(), nil //nolint:contextcheck,forcetypeassert // NewAttempt's; the request has the context
}

// upstream is what a request calls; ours is false where it is not for us.
func (t *Transport) upstream(r *http.Request) (up *engine.Upstream, ours bool, err error) {
	if r.URL == nil || r.Header == nil || r.URL.Scheme != "http" && r.URL.Scheme != "https" {
		return nil, false, nil // net/http says what is wrong
	}
	host := r.URL.Host
	if t.hosts != nil {
		target, ok := t.hosts(host)
		if !ok {
			return nil, false, nil
		}
		up, err = bridge.Upstream(t.hop, target)
		return up, true, err
	}
	if up := t.known.find(host); up != nil {
		return up, true, nil
	}
	target, ok := resolver.ParseHost(host)
	if !ok {
		return nil, false, nil
	}
	if up, err = bridge.Upstream(t.hop, target); err == nil {
		t.known.add(host, up)
	}
	return up, true, err
}

// escapedPath is u.EscapedPath, which looks at each byte for what few paths have.
func escapedPath(u *url.URL) string {
	if u.RawPath != "" || strings.IndexFunc(u.Path, needsEscape) >= 0 {
		return u.EscapedPath()
	}
	return u.Path
}

func needsEscape(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= '/' && r <= '9' || r >= 'A' && r <= 'Z' || r == '-' || r == '_' || r == '.')
}

func method(r *http.Request) string {
	if r.Method == "" {
		return http.MethodGet
	}
	return r.Method
}

// fail is what the caller gets for a call without a response.
func (c *call) fail(err error) error {
	if c.source != nil {
		c.source.abandon()
	}
	awaitClientTimeout(c.req)
	if local, ok := errors.AsType[*localError](err); ok {
		return local.err
	}
	return bridge.Error(err)
}

// localError marks what was wrong with the caller's request; net/http's own words explain it best.
type localError struct{ err error }

func (e *localError) Error() string { return e.err.Error() }
func (e *localError) Unwrap() error { return e.err }

func closeBody(r *http.Request) {
	if r.Body != nil {
		r.Body.Close() //nolint:errcheck // RoundTrip's duty is to close it
	}
}

// poolOf is the pool of the endpoint that an attempt picked, made at its first use.
func (t *Transport) poolOf(x *exchange) *pool {
	created := false
	p := x.Endpoint().Attached(t, func(e *health.Endpoint) health.Attachment { //nolint:forcetypeassert // ours
		created = true
		p := newPool(t.template, e.Addr(), dialer{
			conns: &t.conns, connectTimeout: x.Call().Upstream().ConnectTimeout, alternates: func() []string { return e.Info().Alternates },
		})
		if t.middleware != nil {
			p.rt = t.middleware(p)
		}
		p.onDrain = t.forget
		t.mu.Lock()
		t.pools[p] = struct{}{}
		t.mu.Unlock()
		return p
	}).(*pool)
	if created && x.Endpoint().Gone() { // removed since it was picked: nobody will drain what came after
		t.forget(p)
	}
	return p
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
	t.known.close()
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
	o, ok := health.ParseOutcome(string(t.classifier(resp, err)))
	if !ok {
		return r
	}
	r.Outcome = o
	if resp != nil { // why it may be retried follows the verdict
		r.Kind = kindOf[o]
	}
	return r
}

var kindOf = map[health.Outcome]engine.Kind{health.Failed: engine.ServerError, health.Overloaded: engine.Unavailable}

package httpclient

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	shared "github.com/onehop-go/onehop/internal/dialer"
)

const (
	// minIdleConns per endpoint: net/http's default of 2 makes every burst dial anew.
	minIdleConns = 64
	// maxIdleTime stays below what servers commonly use (60 s nginx, 5 s to 120 s others), so that most idle connections
	// are closed by us and not under a request.
	maxIdleTime = 30 * time.Second
	// tlsSessions kept per endpoint: one is in use, a few more survive ticket rotation.
	tlsSessions = 8
)

// pool is the http.Transport of one endpoint: its connections go to that endpoint and to nothing else, whatever the
// URL's host says. So the URL, the Host header, resp.Request and the TLS name all stay the logical ones, two services that
// follow one another on a port never share a connection, and an endpoint that is removed drains by itself.
type pool struct {
	transport *http.Transport
	rt        http.RoundTripper // the pool itself, or middleware around it
	probeTLS  *tls.Config       // for probes: net/http writes to the transport's own at its first use
	addr      string
	h2c       bool        // may speak HTTP/2 without TLS: the protocol of a plain connection is not known
	http2     atomic.Bool // the endpoint speaks HTTP/2, as far as is known
	onDrain   func(*pool)
}

// dialer is what a pool dials with; the values are read at each dial.
type dialer struct {
	conns          *conns
	connectTimeout func() time.Duration
	alternates     func() []string // further addresses of the endpoint
}

func newPool(base *http.Transport, addr string, d dialer) *pool {
	t := clone(base)
	t.Proxy = nil // one hop
	forceHTTP2(t)
	if t.TLSClientConfig == nil {
		t.TLSClientConfig = &tls.Config{}
	}
	// A cache of the base would be shared by all endpoints, and a ticket of one server means nothing to another.
	t.TLSClientConfig.ClientSessionCache = tls.NewLRUClientSessionCache(tlsSessions)
	if t.MaxIdleConnsPerHost >= 0 { // negative: the base wants none
		t.MaxIdleConnsPerHost = max(t.MaxIdleConnsPerHost, minIdleConns)
	}
	if t.MaxIdleConns > 0 {
		t.MaxIdleConns = max(t.MaxIdleConns, t.MaxIdleConnsPerHost)
	}
	if t.IdleConnTimeout == 0 || t.IdleConnTimeout > maxIdleTime {
		t.IdleConnTimeout = maxIdleTime
	}
	redirectDials(t, addr, d)
	p := &pool{transport: t, addr: addr, probeTLS: base.TLSClientConfig}
	p.rt = p
	if t.Protocols != nil {
		p.h2c = t.Protocols.UnencryptedHTTP2()
		p.http2.Store(!t.Protocols.HTTP1())
	}
	return p
}

// RoundTrip implements http.RoundTripper. Over HTTP/2 net/http makes good by itself a stream that the server sent back unread
// and one that it reset after it had executed it, alike, and does not tell which. A body that it cannot rewind keeps it from
// both, and its error names the cause: so it gets no GetBody there, and the loop decides.
func (p *pool) RoundTrip(r *http.Request) (*http.Response, error) {
	withheld := hasBody(r) && r.GetBody != nil && p.http2.Load()
	if withheld {
		once := *r
		once.GetBody = nil
		r = &once
	}
	resp, err := p.transport.RoundTrip(r)
	if err != nil {
		if withheld {
			err = unrewound(err)
		}
		return nil, err
	}
	if two := resp.ProtoMajor == 2; two != p.http2.Load() {
		p.http2.Store(two)
	}
	return resp, nil
}

// clone is t.Clone with a NextProtos of its own: tls.Config.Clone shares it, and net/http appends "http/1.1" at a transport's
// first use. Where the base speaks HTTP/2 alone there is room for that in the shared array: two endpoints would race for it.
func clone(t *http.Transport) *http.Transport {
	t = t.Clone()
	if c := t.TLSClientConfig; c != nil {
		c.NextProtos = slices.Clip(c.NextProtos)
	}
	return t
}

// forceHTTP2 keeps the base's choice of protocols on a transport that has a DialContext of ours.
func forceHTTP2(t *http.Transport) {
	if t.TLSNextProto != nil && t.TLSNextProto["h2"] == nil {
		return // the documented way to turn HTTP/2 off
	}
	// A base that went through http2.ConfigureTransport hands its own HTTP/2 pool to every clone: all endpoints would
	// share the connections of one. nil makes net/http set up a pool for this transport alone.
	t.TLSNextProto = nil
	// With a custom DialContext net/http leaves HTTP/2 out unless told.
	t.ForceAttemptHTTP2 = true
}

// redirectDials sends every dial of t to addr, through whichever dialer the base had.
func redirectDials(t *http.Transport, addr string, d dialer) {
	dial := t.DialContext
	if dial == nil {
		if old := t.Dial; old != nil { //nolint:staticcheck // deprecated, and still called by net/http where it is set
			dial = func(_ context.Context, network, addr string) (net.Conn, error) { return old(network, addr) }
		} else {
			dial = shared.Default.DialContext
		}
	}
	t.DialContext = d.to(addr, dial)
	t.Dial = nil //nolint:staticcheck // see above
	// A TLS dialer of the base bypasses DialContext for https.
	dialTLS := t.DialTLSContext
	if old := t.DialTLS; dialTLS == nil && old != nil { //nolint:staticcheck // see above
		dialTLS = func(_ context.Context, network, addr string) (net.Conn, error) { return old(network, addr) }
	}
	t.DialTLS = nil //nolint:staticcheck // see above
	if dialTLS != nil {
		t.DialTLSContext = d.to(addr, dialTLS)
	}
}

// to returns a dial that goes to addr, or an alternate of it, whatever it is asked for, within connect_timeout.
func (d dialer) to(addr string, dial shared.Func) shared.Func {
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		if timeout := d.connectTimeout(); timeout > 0 {
			var stop context.CancelFunc
			ctx, stop = context.WithTimeout(ctx, timeout)
			defer stop()
			if x := exchangeOf(ctx); x != nil {
				x.dialing(timeout)
			}
		}
		defer context.AfterFunc(d.conns.ctx, cancel)() //nolint:contextcheck // the Client's end ends dials, too
		conn, err := shared.First(ctx, dial, network, addr, d.alternates())
		if err != nil {
			return nil, &dialError{err}
		}
		return d.conns.track(conn), nil
	}
}

// dialError marks the error of a dial: nothing of the request was sent.
type dialError struct{ err error }

func (e *dialError) Error() string { return e.err.Error() }
func (e *dialError) Unwrap() error { return e.err }

// Timeout as net.Error has it.
func (e *dialError) Timeout() bool { return shared.Timeout(e.err) }

// Temporary as net.Error has it.
func (e *dialError) Temporary() bool { return false }

// Drain implements the engine's attachment: the endpoint is gone. Idle connections close now; one in use closes when its
// body ends, because net/http keeps no connection after CloseIdleConnections until the next request.
func (p *pool) Drain() {
	p.transport.CloseIdleConnections()
	if p.onDrain != nil {
		p.onDrain(p)
	}
}

// probe connects as an attempt would, TLS included when host is not empty, and hangs up.
func (p *pool) probe(ctx context.Context, host string) error {
	if host != "" && p.transport.DialTLSContext != nil {
		conn, err := p.transport.DialTLSContext(ctx, "tcp", p.addr)
		if err != nil {
			return err
		}
		return conn.Close()
	}
	conn, err := p.transport.DialContext(ctx, "tcp", p.addr)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // nothing was sent on it
	if host == "" {
		return nil
	}
	config := &tls.Config{}
	if p.probeTLS != nil {
		config = p.probeTLS.Clone()
	}
	if config.ServerName == "" {
		config.ServerName = host
	}
	return tls.Client(conn, config).HandshakeContext(ctx)
}

package consulapi

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/hashicorp/consul/api"
)

const (
	dialTimeout  = 5 * time.Second
	maxConns     = 120       // of one Client; an agent refuses the 201st of one address
	maxErrorBody = 64 << 10  // of an answer that is not 200
	maxBody      = 32 << 20  // about 15,000 instances of one service
	maxHeader    = 256 << 10 // of an answer
)

// exchange follows one request through consul/api, which tells neither status nor headers.
type exchange struct {
	status int // 0: no answer
	header http.Header
	limit  int64 // of a body with status 200
}

type exchangeKey struct{}

// exchangeOf is the exchange of a request that send makes.
func exchangeOf(q *api.QueryOptions) *exchange {
	return q.Context().Value(exchangeKey{}).(*exchange) //nolint:forcetypeassert // send puts it there
}

// transport is the http.RoundTripper under consul/api.
type transport struct {
	settings *settings
	token    tokenSource
	base     *http.Transport
	conns    connSet
	http2    atomic.Bool // the agent has answered over HTTP/2
}

func newTransport(s *settings) *transport {
	t := &transport{settings: s, token: tokenSource{fixed: s.token, file: s.tokenFile}}
	dialer := &net.Dialer{Timeout: dialTimeout}
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return t.conns.add(dialer.DialContext(ctx, s.network, s.dial))
	}
	t.base = &http.Transport{
		Proxy:                  nil, // never the environment's: it would see the token
		DialContext:            dial,
		DialTLSContext:         func(ctx context.Context, _, _ string) (net.Conn, error) { return dialTLS(ctx, s, dial) },
		ForceAttemptHTTP2:      true,
		MaxConnsPerHost:        maxConns,
		MaxIdleConns:           maxConns,
		MaxIdleConnsPerHost:    maxConns,
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: maxHeader,
		// A vanished peer would otherwise hold all watches of its connection until their time ends.
		HTTP2: &http.HTTP2Config{SendPingTimeout: 30 * time.Second, PingTimeout: 15 * time.Second},
	}
	return t
}

// close ends every connection. net/http would keep those of HTTP/2 whose last stream was just cancelled.
func (t *transport) close() {
	t.base.CloseIdleConnections()
	t.conns.close()
}

// dialTLS reads certificates at each new connection: a renewed file is taken without a restart, and New does no I/O.
func dialTLS(ctx context.Context, s *settings, dial func(context.Context, string, string) (net.Conn, error)) (net.Conn, error) {
	config, err := tlsConfig(s)
	if err != nil {
		return nil, err
	}
	raw, err := dial(ctx, "", "")
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	conn := tls.Client(raw, config)
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("TLS: %w", err), raw.Close())
	}
	return conn, nil
}

func tlsConfig(s *settings) (*tls.Config, error) {
	config := &tls.Config{
		MinVersion:         tls.VersionTLS12,
		NextProtos:         []string{"h2", "http/1.1"},
		ServerName:         s.server,
		InsecureSkipVerify: s.insecure, //nolint:gosec // the operator's CONSUL_HTTP_SSL_VERIFY=false
	}
	if config.ServerName == "" {
		config.ServerName = s.host
	}
	if s.certFile != "" {
		cert, err := tls.LoadX509KeyPair(s.certFile, s.keyFile)
		if err != nil {
			return nil, fmt.Errorf("client certificate: %w", err)
		}
		config.Certificates = []tls.Certificate{cert}
	}
	var err error
	config.RootCAs, err = rootCAs(s.caFile, s.caPath)
	return config, err
}

// rootCAs is nil, the system's, when neither a file nor a folder is named.
func rootCAs(file, folder string) (*x509.CertPool, error) {
	var files []string
	switch {
	case file != "":
		files = []string{file}
	case folder != "":
		entries, err := os.ReadDir(folder)
		if err != nil {
			return nil, fmt.Errorf("CA certificates: %w", err)
		}
		for _, e := range entries {
			files = append(files, filepath.Join(folder, e.Name()))
		}
	default:
		return nil, nil
	}
	pool := x509.NewCertPool()
	for _, name := range files {
		pem, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("CA certificate: %w", err)
		}
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("CA certificate: no PEM certificate in %s", name)
		}
	}
	return pool, nil
}

// errReplayed ends a request that net/http would silently send again on another connection: the pace counts requests.
var errReplayed = errors.New("connection lost")

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	token, err := t.token.get()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(req.Context())
	req = req.WithContext(onceOnly(ctx, cancel))
	req.Header = req.Header.Clone()
	req.Header.Del("X-Consul-Token") // consul/api takes one from the environment
	if token != "" {
		req.Header.Set("X-Consul-Token", token)
	}
	resp, err := t.base.RoundTrip(req)
	if err != nil {
		if context.Cause(ctx) == errReplayed { //nolint:errorlint // identity: our own cancel
			err = errReplayed
		}
		cancel(nil)
		return nil, err
	}
	t.http2.Store(resp.ProtoMajor == 2)
	limit := int64(maxErrorBody)
	if ex, ok := ctx.Value(exchangeKey{}).(*exchange); ok {
		ex.status, ex.header = resp.StatusCode, resp.Header.Clone()
		if resp.StatusCode == http.StatusOK {
			limit = ex.limit
		}
	}
	resp.Body = &boundedBody{ReadCloser: resp.Body, left: limit, limit: limit, cancel: func() { cancel(nil) }}
	return resp, nil
}

// onceOnly is ctx with a trace that cancels when a second connection is asked for after the request's headers went out.
func onceOnly(ctx context.Context, cancel context.CancelCauseFunc) context.Context {
	var wrote atomic.Bool
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		WroteHeaders: func() { wrote.Store(true) },
		GetConn: func(string) {
			if wrote.Load() {
				cancel(errReplayed)
			}
		},
	})
}

// tooLarge is the error of a body beyond its bound.
type tooLarge struct{ limit int64 }

func (e tooLarge) Error() string { return fmt.Sprintf("the answer is larger than %d bytes", e.limit) }

// boundedBody ends with an error where it would pass its bound, so that no answer fills the memory.
type boundedBody struct {
	io.ReadCloser
	left, limit int64
	err         error // sticky
	cancel      func()
}

func (b *boundedBody) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.ReadCloser.Read(p)
	if int64(n) > b.left {
		n, err = int(b.left), tooLarge{b.limit}
	}
	b.left -= int64(n)
	switch {
	case err == nil || errors.Is(err, io.EOF):
	case !isA[tooLarge](err):
		err = brokenOff{err}
	}
	b.err = err
	return n, err
}

func (b *boundedBody) Close() error {
	defer b.cancel()
	return b.ReadCloser.Close()
}

// brokenOff marks the error of a body that ended before its end: it came from the connection, not from what it carried.
type brokenOff struct{ error }

func (b brokenOff) Unwrap() error { return b.error }

package onehop

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"

	"github.com/onehop-go/onehop/internal/dialer"
	"github.com/onehop-go/onehop/internal/engine"
	"github.com/onehop-go/onehop/internal/health"
	"github.com/onehop-go/onehop/resolver"
)

// DialContext connects to an instance of the service that address names; its port is ignored. A host that names no
// service (resolver.ParseHost) or is an IP is dialled as written. Connections are balanced by how many are open;
// a refused one moves on to another instance. It has the signature of net.Dialer.DialContext, for whatever takes one.
// The connection counts as in flight until it is closed, and Client.Close closes it.
func (c *Client) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	if ctx == nil {
		return nil, &Error{Reason: ReasonInvalid, Err: errNilContext}
	}
	t, ok, err := serviceOf(address)
	if err != nil {
		return nil, err
	}
	if c == nil {
		return nil, &Error{Reason: ReasonInvalid, Target: t, Err: errNilClient}
	}
	if !ok {
		return dialer.Default.DialContext(ctx, network, address)
	}
	u, err := c.upstream(t) //nolint:contextcheck // its watchers outlive the call that begins them
	if err != nil {
		return nil, err
	}
	d := &dialCall{network: network, client: c}
	// Connecting twice harms nobody.
	d.Protocol, d.Safe, d.Replayable, d.Options = "conn", true, true, engine.OptionsOf(ctx)
	if err := d.Run(ctx, u, d); err != nil {
		return nil, publicError(err)
	}
	return d.Winner().(*dialAttempt).open(), nil //nolint:forcetypeassert // NewAttempt's
}

// serviceOf is the target an address to dial names; false: it names none.
func serviceOf(address string) (resolver.Target, bool, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return resolver.Target{}, false, &Error{Reason: ReasonInvalid, Err: fmt.Errorf("address %q: want host:port: %w", address, err)}
	}
	t, ok := resolver.ParseHost(host)
	return t, ok, nil
}

// LookupHost answers a service's name with the name itself, so that DialContext gets to see it, and asks DNS for any
// other host: for drivers that look up before they dial, such as pgx.
func (c *Client) LookupHost(ctx context.Context, host string) ([]string, error) {
	if ctx == nil {
		return nil, &Error{Reason: ReasonInvalid, Err: errNilContext}
	}
	if _, ok := resolver.ParseHost(host); ok {
		return []string{host}, nil
	}
	return net.DefaultResolver.LookupHost(ctx, host)
}

type dialCall struct {
	engine.Call
	client  *Client
	network string
}

func (c *dialCall) NewAttempt() engine.Attempt {
	return &dialAttempt{call: c}
}

type dialAttempt struct {
	engine.State
	limited
	call *dialCall
	conn net.Conn
}

func (a *dialAttempt) Send(ctx context.Context) engine.Result {
	if !a.Pick(nil) {
		return engine.Result{}
	}
	ctx = a.limit(a.Begun(ctx), a.Core())
	defer a.release()
	ctx, cancel := withConnectTimeout(ctx, a.call.Upstream())
	defer cancel()
	conn, err := dialEndpoint(ctx, a.call.network, a.Endpoint())
	if err == nil {
		a.conn = conn
		return engine.Result{Outcome: health.OK, Answer: true, Unsampled: true}
	}
	if r, ok := a.ended(err); ok {
		return r
	}
	r, ok := engine.Network(err)
	if !ok {
		r = engine.Result{Outcome: health.Failed, Unsent: true, Kind: engine.Unavailable, Err: err}
	}
	if r.Outcome != health.Ignored {
		r.Redial = redial(a.Endpoint())
	}
	return r
}

func withConnectTimeout(ctx context.Context, u *engine.Upstream) (context.Context, context.CancelFunc) {
	if d := u.ConnectTimeout(); d > 0 {
		return context.WithTimeoutCause(ctx, d, errConnectTimeout)
	}
	return ctx, func() {}
}

var errConnectTimeout = errors.New("connect_timeout is over")

// Discard closes a connection that nobody gets.
func (a *dialAttempt) Discard() {
	if a.conn != nil {
		_ = a.conn.Close()
	}
}

// open is the connection as its caller gets it: its Close is the attempt's second end.
func (a *dialAttempt) open() net.Conn {
	o := &opened{}
	conn := a.conn
	stop := a.call.client.onClose(func() { _ = conn.Close() })
	o.end = func() { stop(); a.End(nil, false) }
	if tcp, ok := conn.(*net.TCPConn); ok {
		return &tcpConn{TCPConn: tcp, opened: o}
	}
	return &plainConn{Conn: conn, opened: o}
}

type opened struct {
	once sync.Once
	end  func()
}

// tcpConn keeps what *net.TCPConn has beyond net.Conn: splice, half close, deadlines on raw descriptors.
type tcpConn struct {
	*net.TCPConn
	opened *opened
}

// Close closes the connection; it is in flight no longer.
func (c *tcpConn) Close() error {
	c.opened.once.Do(c.opened.end)
	return c.TCPConn.Close()
}

type plainConn struct {
	net.Conn
	opened *opened
}

// Close closes the connection; it is in flight no longer.
func (c *plainConn) Close() error {
	c.opened.once.Do(c.opened.end)
	return c.Conn.Close()
}

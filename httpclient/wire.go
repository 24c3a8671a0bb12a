package httpclient

import (
	"crypto/tls"
	"net"
	"net/http/httptrace"
	"time"

	"github.com/onehop-go/onehop/internal/health"
)

// What net/http's own trace told about an attempt's way over the wire. The hooks run on several goroutines.
const (
	asked     uint32 = 1 << iota // a connection was asked for
	got                          // and got
	http1                        // it speaks HTTP/1; unset: HTTP/2, or unknown
	reused                       // it had served another request
	wrote                        // the request's headers were written, into a buffer at least
	replied                      // the first byte of an answer has come
	dialing                      // a dial was begun for it, with a time of its own
	connected                    // which is over
)

// getConn keeps an attempt one: net/http sends a request again by itself when a reused connection dies under it (over eight
// such connections one GET is nine requests), and over HTTP/2 when a stream is refused or reset with PROTOCOL_ERROR, without
// end. A connection asked for after the headers were written is such a retry: the attempt ends, and the loop decides.
//
// One kind is let pass. Over HTTP/1 a request that net/http would not replay is sent again only where nothing of it had left
// (the headers are written into a buffer first): a POST that met an idle connection which the server had closed.
func (x *exchange) getConn(string) {
	bits := x.wire.Load()
	if bits&wrote != 0 && (bits&http1 == 0 || replayable(x.call.req)) {
		x.cancel(errGuard)
		return
	}
	x.wire.And(^(got | http1 | reused | wrote | replied))
	x.wire.Or(asked)
}

// gotConn guards as well: over HTTP/2 a connection that was made for another request, and not needed, is given to a retry
// without being asked for.
func (x *exchange) gotConn(info httptrace.GotConnInfo) {
	one := isHTTP1(info.Conn, x.h2c)
	if x.wire.Load()&wrote != 0 {
		x.cancel(errGuard)
		if one {
			// net/http may hand out an idle connection although the context has ended, and would write on it.
			info.Conn.Close() //nolint:errcheck // nothing was sent on it
		}
		return
	}
	bits := got
	if one {
		bits |= http1
	}
	if info.Reused {
		bits |= reused
	} else if e := x.Endpoint(); e != nil {
		e.Dialed(health.Now())
	}
	x.wire.Or(bits)
	x.connected()
}

// isHTTP1 says whether a connection certainly speaks HTTP/1.
func isHTTP1(conn net.Conn, h2c bool) bool {
	if c, ok := conn.(interface{ ConnectionState() tls.ConnectionState }); ok {
		return c.ConnectionState().NegotiatedProtocol != "h2"
	}
	return !h2c
}

// progress serves two hooks, so that one closure is enough: its first call means that headers were written, the second
// that the first byte of the answer has come. A server that answers before it was asked swaps the two; then both have
// happened by the second call all the same.
func (x *exchange) progress() {
	if x.wire.Or(wrote)&wrote != 0 {
		x.wire.Or(replied)
	}
}

// dialing gives the connection made for this attempt its time, dial and TLS handshake together.
func (x *exchange) dialing(timeout time.Duration) {
	t := time.AfterFunc(timeout, func() { x.cancel(errConnect) })
	if !x.dial.CompareAndSwap(nil, t) || x.wire.Or(dialing)&connected != 0 {
		t.Stop()
	}
}

// connected ends that time: there is a connection, if only another's, or the attempt is over.
func (x *exchange) connected() {
	if x.wire.Or(connected)&dialing != 0 {
		x.dial.Load().Stop()
	}
}

package httpclient

import (
	"crypto/tls"
	"net"
	"net/http/httptrace"
	"sync/atomic"

	"github.com/onehop-go/onehop/internal/health"
)

// wire follows one attempt by net/http's own trace, and keeps it one: net/http sends a request again by itself when a
// reused connection dies under it (over eight such connections one GET is nine requests), and over HTTP/2 when a stream is
// refused or reset with PROTOCOL_ERROR, without end. A connection asked for after the headers were written is such a retry:
// the attempt's context is cancelled, and the loop decides. The hooks run on several goroutines.
type wire struct {
	x       *exchange
	bits    atomic.Uint32
	plainH2 bool
}

const (
	asked   uint32 = 1 << iota // a connection was asked for
	got                        // and got
	http1                      // it speaks HTTP/1; unset: HTTP/2, or unknown
	reused                     // it had served another request
	wrote                      // the request's headers were written, into a buffer at least
	replied                    // the first byte of an answer has come
	guarded                    // net/http began to send again
)

func (w *wire) state() uint32 { return w.bits.Load() }

func (w *wire) getConn(string) {
	if w.bits.Load()&wrote != 0 {
		w.bits.Or(guarded)
		w.x.cancel(errGuard)
		return
	}
	w.bits.And(^(got | http1 | reused)) // a connection that broke before anything was written
	w.bits.Or(asked)
}

func (w *wire) gotConn(info httptrace.GotConnInfo) {
	one := w.isHTTP1(info.Conn)
	if w.bits.Load()&guarded != 0 {
		if one {
			// net/http may hand out an idle connection although the context has ended, and would write on it.
			info.Conn.Close() //nolint:errcheck,gosec // nothing was sent on it
		}
		return
	}
	bits := got
	if one {
		bits |= http1
	}
	if info.Reused {
		bits |= reused
	} else if e := w.x.Endpoint(); e != nil {
		e.Dialed(health.Now())
	}
	w.bits.Or(bits)
	w.x.clock.stopDial()
}

// isHTTP1 says whether the connection certainly speaks HTTP/1.
func (w *wire) isHTTP1(conn net.Conn) bool {
	if c, ok := conn.(interface{ ConnectionState() tls.ConnectionState }); ok {
		return c.ConnectionState().NegotiatedProtocol != "h2"
	}
	return !w.plainH2
}

// progress serves two hooks, so that one closure is enough: its first call means that headers were written, the second
// that the first byte of the answer has come. A server that answers before it was asked swaps the two; then both have
// happened by the second call all the same.
func (w *wire) progress() {
	if w.bits.Or(wrote)&wrote != 0 {
		w.bits.Or(replied)
	}
}

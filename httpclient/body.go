package httpclient

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"
)

// responseBody is the body the caller reads, in the exchange's own memory. Its end is the attempt's second end: end of
// file, a read error, Close, or the end of the caller's context, whichever comes first.
type responseBody exchange

// Read implements io.Reader.
func (b *responseBody) Read(p []byte) (int, error) {
	x := (*exchange)(b)
	if x.clock != nil {
		x.clock.reads.begin()
	}
	n, err := x.rc.Read(p)
	if x.clock != nil {
		x.clock.reads.end()
	}
	if err != nil {
		err = x.bodyError(err)
	}
	return n, err
}

// Close implements io.Closer.
func (b *responseBody) Close() error {
	err := b.rc.Close()
	(*exchange)(b).end(nil, false)
	return err
}

// bodyError ends the attempt, and gives the reader the true cause where the context's end was ours: over HTTP/2 net/http
// says no more than that it was cancelled.
func (x *exchange) bodyError(err error) error {
	if err == io.EOF { //nolint:errorlint // io.Reader's contract
		x.end(nil, false)
		return err
	}
	broken := x.Err() == nil
	if cause := x.reason(); cause != nil {
		broken = errors.Is(cause, errIdle)
		if !errors.Is(err, cause) {
			err = cause
		}
		awaitClientTimeout(x.call.req)
	}
	x.end(err, broken)
	return err
}

// upgraded is the body of a 101: net/http gives it a Write method, and so must we, or WebSocket libraries and
// httputil.ReverseProxy fail. The connection is the caller's now; no clock of ours runs.
type upgraded struct {
	io.ReadWriteCloser
	x *exchange
}

// Close implements io.Closer.
func (u *upgraded) Close() error {
	err := u.ReadWriteCloser.Close()
	u.x.end(nil, false)
	return err
}

// deliver hands the attempt's response to the caller.
func (x *exchange) deliver() *http.Response {
	resp := x.resp
	resp.Request = x.call.req
	if rwc, ok := resp.Body.(io.ReadWriteCloser); ok && resp.StatusCode == http.StatusSwitchingProtocols {
		if x.clock != nil {
			x.clock.stop()
		}
		resp.Body = &upgraded{rwc, x}
		return resp
	}
	if resp.Body == nil || resp.Body == http.NoBody {
		x.end(nil, false)
		return resp
	}
	x.rc = resp.Body
	resp.Body = (*responseBody)(x)
	x.given.Store(true)
	if x.Err() != nil {
		x.forsaken()
	}
	return resp
}

// abandoned is the end of the caller's context.
func (x *exchange) abandoned() {
	x.follow()
	x.forsaken()
}

// forsaken ends the attempt when the caller's context does: a caller who cancels and forgets to close loses the connection
// in net/http, and the endpoint must not stay charged.
func (x *exchange) forsaken() {
	if x.given.Load() && !x.over.Swap(true) {
		x.release()
		x.End(context.Cause(x.call.req.Context()), false)
	}
}

// awaitClientTimeout cures a race in net/http: for a RoundTripper it does not know, http.Client.Timeout is a deadline on
// the context and a timer of its own, and only where the timer has fired by the time an error comes does the error say
// that the Client's Timeout was it. Both are set for the same moment; the timer closes Cancel.
func awaitClientTimeout(r *http.Request) {
	if r.Cancel == nil || !errors.Is(r.Context().Err(), context.DeadlineExceeded) { //nolint:staticcheck // deprecated, and http.Client's own way
		return
	}
	t := time.NewTimer(clientTimeoutRace)
	defer t.Stop()
	select {
	case <-r.Cancel: //nolint:staticcheck // see above
	case <-t.C:
	}
}

// clientTimeoutRace is far above the microseconds by which the two timers differ.
const clientTimeoutRace = 10 * time.Millisecond

// canceled says whether the deprecated Request.Cancel, or http.Client.Timeout through it, has ended the request.
func canceled(r *http.Request) bool {
	select {
	case <-r.Cancel: //nolint:staticcheck // deprecated, and still to be obeyed
		return true
	default:
		return false
	}
}

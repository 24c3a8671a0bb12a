package httpclient

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"reflect"
	"strings"
	"sync"
)

// safe says whether a request may be executed twice by HTTP's own rules: a safe method (RFC 9110 9.2.1), or a key by which
// the server tells a repetition (draft-ietf-httpapi-idempotency-key-header). PUT and DELETE are idempotent to RFC 9110
// 9.2.2, but a repeated DELETE answers 404: only a route's `idempotent: true` or onehop.Idempotent says so.
func safe(r *http.Request) bool {
	switch r.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return true
	}
	return hasKey(r)
}

func hasKey(r *http.Request) bool {
	_, key := r.Header["Idempotency-Key"]
	_, xkey := r.Header["X-Idempotency-Key"]
	return key || xkey
}

func hasBody(r *http.Request) bool { return r.Body != nil && r.Body != http.NoBody }

// rewindable says whether the request can be sent again: without a body, or with GetBody. What was sent is never kept for
// a repetition: the transport may still be reading the first body after RoundTrip has returned.
func rewindable(r *http.Request) bool { return !hasBody(r) || r.GetBody != nil }

// replayable is net/http's own isReplayable: what it would send again after a connection broke.
func replayable(r *http.Request) bool { return rewindable(r) && safe(r) }

// upload is the caller's body on its way. It tells the body's own error from the connection's, and keeps a body that
// nobody has read open, so that an attempt which failed to connect can be followed by another with the same body.
// net/http reads and closes it from goroutines of its own, even after RoundTrip has returned.
type upload struct {
	rc io.ReadCloser

	mu      sync.Mutex // all below
	clock   *clock     // of the attempt; nil: none
	read    bool
	closed  bool // by the transport
	settled bool // no other attempt will use it
	done    bool // rc is closed
	err     error
}

// Read implements io.Reader.
func (u *upload) Read(p []byte) (int, error) {
	u.mu.Lock()
	c, closed := u.clock, u.closed
	u.read = u.read || !closed
	u.mu.Unlock()
	if closed {
		return 0, http.ErrBodyReadAfterClose
	}
	if c != nil {
		c.writes.end()
	}
	n, err := u.rc.Read(p)
	if err == nil {
		if c != nil {
			c.writes.begin() // what was read is being written until the next Read
		}
	} else if err != io.EOF { //nolint:errorlint // io.Reader's contract
		u.mu.Lock()
		u.err = err
		u.mu.Unlock()
	}
	return n, err
}

// Close implements io.Closer.
func (u *upload) Close() error {
	u.mu.Lock()
	u.closed = true
	c := u.clock
	u.mu.Unlock()
	if c != nil {
		c.writes.end()
	}
	return u.release()
}

// settle says that no other attempt needs the body.
func (u *upload) settle() {
	u.mu.Lock()
	u.settled = true
	u.mu.Unlock()
	_ = u.release() // the transport has had its Close
}

// abandon closes the body whatever the transport did: the call is over without an answer.
func (u *upload) abandon() {
	u.mu.Lock()
	u.closed, u.settled = true, true
	u.mu.Unlock()
	_ = u.release()
}

// release closes once what the transport has closed and no other attempt needs.
func (u *upload) release() error {
	u.mu.Lock()
	due := !u.done && u.closed && (u.read || u.settled)
	u.done = u.done || due
	u.mu.Unlock()
	if !due {
		return nil
	}
	return u.rc.Close()
}

// reuse makes the body ready for an attempt. false: it was read, or closed for good.
func (u *upload) reuse(c *clock) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.read || u.done || u.settled {
		return false
	}
	u.closed, u.clock = false, c
	return true
}

// untouched says whether the body can be sent as it is.
func (u *upload) untouched() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return !u.read && !u.done && !u.settled
}

func (u *upload) failure() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.err
}

// direct says whether a body is better left as it is. net/http knows bodies in memory, which neither fail nor stall, and
// writes them together with the headers; a file the kernel sends without copying it through us.
func direct(r io.Reader) bool {
	switch r.(type) {
	case *bytes.Reader, *bytes.Buffer, *strings.Reader, *os.File:
		return true
	}
	switch reflect.TypeOf(r) {
	case nopCloser, nopCloserWriterTo:
		inner, ok := reflect.ValueOf(r).Field(0).Interface().(io.Reader)
		return ok && direct(inner)
	}
	return false
}

// The two types of io.NopCloser.
var (
	nopCloser         = reflect.TypeOf(io.NopCloser(nil))
	nopCloserWriterTo = reflect.TypeOf(io.NopCloser(&bytes.Buffer{}))
)

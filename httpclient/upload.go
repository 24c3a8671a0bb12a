package httpclient

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"reflect"
	"strings"
	"sync"
)

// source gives each attempt of a call its body: the caller's, and once that was used a new copy by GetBody.
type source struct {
	req *http.Request

	mu   sync.Mutex // attempts may race
	used bool       // an attempt has had the caller's body
	last *upload    // of the last attempt, where it is watched
}

var errBodySpent = errors.New("httpclient: the request's body was read and has no GetBody")

func (s *source) attach(x *exchange) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last != nil && s.last.reuse(x.clock) {
		x.upload = s.last
		x.req.Body = x.upload
		return nil
	}
	rc := s.req.Body
	if s.used {
		if s.req.GetBody == nil {
			return errBodySpent
		}
		var err error
		if rc, err = s.req.GetBody(); err != nil {
			return err
		}
	}
	s.used = true
	if !direct(rc) {
		s.last = &upload{rc: rc, clock: x.clock, taken: true}
		x.upload = s.last
		rc = x.upload
	}
	x.req.Body = rc
	return nil
}

// abandon closes what no attempt has closed: the call is over without an answer.
func (s *source) abandon() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last != nil {
		s.last.abandon()
	}
	if !s.used {
		closeBody(s.req)
	}
}

// upload is the caller's body on its way. It tells the body's own error from the connection's, and keeps a body that
// nobody has read open, so that an attempt which failed to connect can be followed by another with the same body.
// net/http reads and closes it from goroutines of its own, even after RoundTrip has returned.
type upload struct {
	rc io.ReadCloser

	mu      sync.Mutex // all below
	clock   *clock     // of the attempt; nil: none
	taken   bool       // by an attempt that is not over
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
	} else if err != io.EOF {
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

// spare gives back a body of which the attempt has read nothing. false: there is no such body.
func (u *upload) spare() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.read || u.done || u.settled {
		return false
	}
	u.taken = false
	return true
}

// reuse makes a spared body ready for another attempt.
func (u *upload) reuse(c *clock) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.taken || u.read || u.done || u.settled {
		return false
	}
	u.taken, u.closed, u.clock = true, false, c
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
		inner, ok := reflect.TypeAssert[io.Reader](reflect.ValueOf(r).Field(0))
		return ok && direct(inner)
	}
	return false
}

// The two types of io.NopCloser.
var (
	nopCloser         = reflect.TypeOf(io.NopCloser(nil))
	nopCloserWriterTo = reflect.TypeOf(io.NopCloser(&bytes.Buffer{}))
)

package consulapi

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/hashicorp/consul/api"
)

// Kind says what went wrong with a read.
type Kind string

// The kinds of a failed read. After each of them the last known good stays.
const (
	Unreachable Kind = "unreachable"  // no answer: connection, TLS, time limit
	Denied      Kind = "denied"       // the token lacks a right, or is unknown
	Server      Kind = "server error" // 429 and 5xx: no leader, overloaded, a bad filter
	Malformed   Kind = "malformed"    // an answer that is not Consul's, or cannot be true
	Refused     Kind = "refused"      // any other status: no such prepared query, an unknown parameter
)

// Error is a failed read. Its text names the agent's address and never a token or a value.
type Error struct {
	Kind    Kind
	Address string // of the agent
	Subject string // what was read, such as "service payments"
	Err     error
}

// Error implements error.
func (e *Error) Error() string {
	switch e.Kind {
	case Unreachable:
		return fmt.Sprintf("consul at %s is unreachable, reading %s: %v", e.Address, e.Subject, e.Err)
	case Denied:
		return fmt.Sprintf("consul at %s denied reading %s: %v", e.Address, e.Subject, e.Err)
	default:
		return fmt.Sprintf("consul at %s, reading %s: %s: %v", e.Address, e.Subject, e.Kind, e.Err)
	}
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// KindOf is the kind of the first *Error in err, "" when there is none.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return ""
}

// IsDenied reports whether Consul refused the read for lack of rights.
func IsDenied(err error) bool { return KindOf(err) == Denied }

// malformed is the cause of an answer that was understood and cannot be true.
type malformed struct{ error }

func (m malformed) Unwrap() error { return m.error }

// MalformedError marks err as the cause of a Malformed *Error.
func MalformedError(err error) error { return malformed{err} }

// DeniedError marks err as the cause of a Denied *Error.
func DeniedError(err error) error { return denied{err} }

type denied struct{ error }

func (d denied) Unwrap() error { return d.error }

// classify wraps what consul/api or a judge of an answer said. status is 0 when no answer came.
func classify(err error, status int, address, subject string, secrets ...string) error {
	if _, ok := errors.AsType[*Error](err); ok || err == nil {
		return err
	}
	e := &Error{Kind: kindOf(err, status), Address: address, Subject: subject, Err: err}
	if inURL, ok := errors.AsType[*url.Error](err); ok {
		// The URL repeats what Address and Subject say, with the filter and all parameters.
		e.Err = inURL.Err
	}
	if refused, ok := errors.AsType[api.StatusError](err); ok {
		e.Err = errors.New(statusText(refused))
	}
	e.Err = tell(e.Err, secrets)
	return e
}

func kindOf(err error, status int) Kind {
	switch {
	case isA[malformed](err), isA[tooLarge](err):
		return Malformed
	case isA[denied](err):
		return Denied
	case status == 0:
		return Unreachable
	case status == http.StatusForbidden, status == http.StatusUnauthorized:
		return Denied
	case status == http.StatusTooManyRequests, status >= 500:
		return Server
	case isA[brokenOff](err):
		return Unreachable // the answer broke off, or its time ended
	case status == http.StatusOK || status < 400:
		return Malformed
	default:
		return Refused
	}
}

func isA[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

// statusText is the status and what the agent says about it; tell shortens it.
func statusText(e api.StatusError) string {
	text := "status " + strconv.Itoa(e.Code)
	if e.Code >= 300 && e.Code < 400 {
		return text + ": a redirect; none is followed, since it would carry the token elsewhere"
	}
	body := strings.ToValidUTF8(e.Body, " ")
	if body == "" {
		return text
	}
	return text + ": " + body
}

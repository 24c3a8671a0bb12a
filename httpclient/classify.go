package httpclient

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"syscall"
	"time"

	shared "github.com/onehop-go/onehop/internal/dialer"
	"github.com/onehop-go/onehop/internal/engine"
	"github.com/onehop-go/onehop/internal/health"
)

// judgeResponse is what a response says about its endpoint, by its status and two headers.
func judgeResponse(resp *http.Response, now func() time.Time) engine.Result {
	r := engine.Result{Answer: true, Status: resp.StatusCode, Kind: engine.KindOfStatus(resp.StatusCode)}
	switch resp.StatusCode {
	case http.StatusInternalServerError, http.StatusBadGateway, http.StatusGatewayTimeout:
		r.Outcome = health.Failed
	case http.StatusServiceUnavailable:
		r.Outcome = health.Overloaded
	case http.StatusTooManyRequests:
		r.Outcome = health.Pushback
	default:
		return r
	}
	if r.Outcome != health.Failed {
		r.Pause = retryAfter(resp.Header.Get("Retry-After"), now())
	}
	r.Stop = resp.Header.Get("X-Envoy-Ratelimited") != ""
	return r
}

// retryAfter reads seconds or a date (RFC 9110 10.2.3); 0 for what is neither, or past.
func retryAfter(s string, now time.Time) time.Duration {
	if s == "" {
		return 0
	}
	if n, err := strconv.ParseUint(s, 10, 31); err == nil {
		return time.Duration(n) * time.Second
	}
	if t, err := http.ParseTime(s); err == nil {
		return max(0, t.Sub(now))
	}
	return 0
}

// facts are all that is known about an attempt that got no response.
type facts struct {
	err    error
	cause  error // why the request's context has ended; nil: it has not
	reader error // of the caller's body
	late   time.Duration

	unconnected bool // a connection was asked for and never got
	unwritten   bool // a connection was got, and not even the headers written
	untraced    bool // no connection was asked for: refused before the network, or by middleware that uses no net/http
	stale       bool // over HTTP/1 on a connection used before, and no byte of an answer came
	rewindable  bool // the request can be sent again as it is
}

// local says whether the caller's own request was at fault: its body could not be read, or net/http refused it.
func (f *facts) local() bool {
	return f.cause == nil && (f.reader != nil || f.untraced && !fromNetwork(f.err))
}

// judge is what the failure says about the endpoint, and whether the request was provably never processed.
func (f *facts) judge() engine.Result {
	r := engine.Result{Outcome: health.Ignored, Err: f.err}
	if f.cause != nil {
		return f.judgeEnded(r)
	}
	switch {
	case f.local():
	case f.unconnected:
		f.judgeDial(&r)
	case f.untraced:
		r.Outcome, r.Kind = health.Failed, engine.Reset
		r.Unsent = f.rewindable && isA[*dialError](f.err)
	case f.unwritten:
		r.Outcome, r.Kind, r.Unsent = health.Failed, engine.Reset, f.rewindable
	case isA[*unreadError](f.err):
		f.judgeUnread(&r)
	case shared.Timeout(f.err): // ResponseHeaderTimeout of the base, TCP_USER_TIMEOUT
		r.Outcome, r.Kind = health.Failed, engine.AttemptTimeout
	case f.stale && !isA[*net.OpError](f.err): // the server had closed the idle connection
		r.Kind = engine.Reset
	default:
		r.Outcome, r.Kind = health.Failed, engine.Reset
	}
	return r
}

// judgeEnded is of an attempt that one of us ended.
func (f *facts) judgeEnded(r engine.Result) engine.Result {
	r.Err, r.Late = f.cause, f.late
	switch {
	case f.cause == errGuard: //nolint:errorlint // ours, never wrapped
		r.Kind = engine.Reset
		r.Err = errors.Join(errGuard, unlessCanceled(f.err))
	case f.cause == errConnect: //nolint:errorlint // ours, never wrapped
		r.Outcome, r.Unsent = health.Failed, f.unconnected && f.rewindable
	case f.cause == engine.ErrLost: //nolint:errorlint // never wrapped
		r.Ended = engine.ByLoop
	case f.cause == errIdle: //nolint:errorlint // ours, never wrapped
		r.Outcome, r.Kind = health.Failed, engine.Reset
	case f.cause == engine.ErrAttemptTimeout: //nolint:errorlint // never wrapped
		r.Ended = engine.ByTimer
	case f.cause == engine.ErrTimeout: //nolint:errorlint // never wrapped
		r.Ended = engine.ByDeadline
	case errors.Is(f.cause, context.DeadlineExceeded):
		r.Ended = engine.ByDeadline
	default:
		r.Ended = engine.ByCaller
	}
	return r
}

// judgeDial is of an attempt that got no connection: nothing was sent.
func (f *facts) judgeDial(r *engine.Result) {
	r.Unsent = f.rewindable
	switch {
	case isLocal(f.err): // says nothing about the endpoint
	case shared.Timeout(f.err):
		r.Outcome = health.Failed
	default: // refused, unreachable, a TLS handshake that failed
		r.Outcome = health.Refused
	}
}

// judgeUnread is of a request that the server sent back unread.
func (f *facts) judgeUnread(r *engine.Result) {
	r.Kind, r.Unprocessed = engine.Reset, f.rewindable
	if u, _ := errors.AsType[*unreadError](f.err); !u.leaving {
		r.Outcome = health.Failed
	}
}

// isLocal says whether a connection failed for want of something of this machine's.
func isLocal(err error) bool {
	return slices.ContainsFunc(localFaults, func(errno syscall.Errno) bool { return errors.Is(err, errno) })
}

var localFaults = []syscall.Errno{
	syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.EADDRNOTAVAIL, syscall.ENETUNREACH, syscall.ENETDOWN,
}

// fromNetwork says whether an error is of a connection, and not of a request that was refused before any.
func fromNetwork(err error) bool {
	return shared.Timeout(err) || isA[net.Error](err) || isA[syscall.Errno](err) || isA[*dialError](err) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

func isA[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

// unlessCanceled drops what only says that we cancelled.
func unlessCanceled(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, errGuard) {
		return nil
	}
	return err
}

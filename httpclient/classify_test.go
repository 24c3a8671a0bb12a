package httpclient

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/onehop-go/onehop/internal/engine"
	"github.com/onehop-go/onehop/internal/health"
)

func TestJudgeResponse(t *testing.T) {
	now := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	for _, row := range []struct {
		status  int
		header  http.Header
		outcome health.Outcome
		kind    engine.Kind
		pause   time.Duration
		stop    bool
	}{
		{200, nil, health.OK, 0, 0, false},
		{101, nil, health.OK, 0, 0, false},
		{301, http.Header{"Retry-After": {"5"}}, health.OK, 0, 0, false},
		{404, nil, health.OK, 0, 0, false},
		{429, nil, health.Pushback, 0, 0, false},
		{429, http.Header{"Retry-After": {"7"}, "X-Envoy-Ratelimited": {"true"}}, health.Pushback, 0, 7 * time.Second, true},
		{500, http.Header{"Retry-After": {"7"}}, health.Failed, engine.ServerError, 0, false},
		{501, nil, health.OK, 0, 0, false},
		{502, nil, health.Failed, engine.Unavailable, 0, false},
		{503, nil, health.Overloaded, engine.Unavailable, 0, false},
		{503, http.Header{"Retry-After": {"Wed, 01 Jul 2026 12:00:09 GMT"}}, health.Overloaded, engine.Unavailable, 9 * time.Second, false},
		{504, nil, health.Failed, engine.Unavailable, 0, false},
		{507, nil, health.OK, 0, 0, false},
	} {
		got := judgeResponse(&http.Response{StatusCode: row.status, Header: row.header}, func() time.Time { return now })
		if got.Outcome != row.outcome || got.Kind != row.kind || got.Pause != row.pause || got.Stop != row.stop || got.Status != row.status || !got.Answer {
			t.Errorf("%d %v: %+v", row.status, row.header, got)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	for s, want := range map[string]time.Duration{
		"": 0, "0": 0, "120": 2 * time.Minute, "-1": 0, "1.5": 0, "soon": 0, "99999999999999999999": 0,
		"Wed, 01 Jul 2026 12:00:30 GMT": 30 * time.Second, "Wed, 01 Jul 2026 11:00:00 GMT": 0,
		"Wednesday, 01-Jul-26 12:01:00 GMT": time.Minute,
	} {
		if got := retryAfter(s, now); got != want {
			t.Errorf("%q: %v, want %v", s, got, want)
		}
	}
}

func TestJudgeFailure(t *testing.T) {
	dial := func(err error) error {
		return &dialError{&net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", err)}}
	}
	read := func(err error) error {
		return &net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", err)}
	}
	broken := errors.New("http: server closed idle connection")
	const none, ended = engine.Kind(0), health.Ignored
	for _, row := range []struct {
		name    string
		f       facts
		outcome health.Outcome
		kind    engine.Kind
		unsent  bool
		ended   engine.Ended
	}{
		{"refused", facts{err: dial(syscall.ECONNREFUSED), unconnected: true, rewindable: true}, health.Refused, none, true, 0},
		{"refused, the body is spent", facts{err: dial(syscall.ECONNREFUSED), unconnected: true}, health.Refused, none, false, 0},
		{"no route to the host", facts{err: dial(syscall.EHOSTUNREACH), unconnected: true, rewindable: true}, health.Refused, none, true, 0},
		{"no network here", facts{err: dial(syscall.ENETUNREACH), unconnected: true, rewindable: true}, health.Ignored, none, true, 0},
		{"no descriptors here", facts{err: dial(syscall.EMFILE), unconnected: true, rewindable: true}, health.Ignored, none, true, 0},
		{"no ports here", facts{err: dial(syscall.EADDRNOTAVAIL), unconnected: true, rewindable: true}, health.Ignored, none, true, 0},
		{"dial timed out", facts{err: dial(syscall.ETIMEDOUT), unconnected: true, rewindable: true}, health.Failed, none, true, 0},
		{"dial or handshake took too long", facts{err: context.Canceled, cause: errConnect, unconnected: true, rewindable: true}, health.Failed, none, true, 0},
		{"certificate", facts{err: &tls.CertificateVerificationError{Err: io.EOF}, unconnected: true, rewindable: true}, health.Refused, none, true, 0},
		{"reset", facts{err: read(syscall.ECONNRESET)}, health.Failed, engine.Reset, false, 0},
		{"reset on a connection used before", facts{err: read(syscall.ECONNRESET), stale: true}, health.Failed, engine.Reset, false, 0},
		{"closed while idle", facts{err: broken, stale: true}, health.Ignored, engine.Reset, false, 0},
		{"closed at once", facts{err: io.EOF}, health.Failed, engine.Reset, false, 0},
		{"nothing written", facts{err: broken, unwritten: true, rewindable: true}, health.Failed, engine.Reset, true, 0},
		{"headers never came, the base's own timeout", facts{err: os.ErrDeadlineExceeded}, health.Failed, engine.AttemptTimeout, false, 0},
		{"peer vanished", facts{err: read(syscall.ETIMEDOUT)}, health.Failed, engine.AttemptTimeout, false, 0},
		{"caller's reader", facts{err: io.ErrNoProgress, reader: io.ErrNoProgress}, health.Ignored, none, false, 0},
		{"bad request", facts{err: errors.New("net/http: invalid method"), untraced: true, rewindable: true}, health.Ignored, none, false, 0},
		{"middleware that sends by itself", facts{err: read(syscall.ECONNRESET), untraced: true, rewindable: true}, health.Failed, engine.Reset, false, 0},
		{"guard", facts{err: context.Canceled, cause: errGuard, rewindable: true}, health.Ignored, engine.Reset, false, 0},
		{"attempt_timeout", facts{err: context.Canceled, cause: engine.ErrAttemptTimeout}, ended, none, false, engine.ByTimer},
		{"timeout", facts{err: context.Canceled, cause: engine.ErrTimeout}, ended, none, false, engine.ByDeadline},
		{"caller's deadline", facts{err: context.Canceled, cause: context.DeadlineExceeded}, ended, none, false, engine.ByDeadline},
		{"caller's cancel", facts{err: context.Canceled, cause: context.Canceled}, ended, none, false, engine.ByCaller},
		{"caller's own cause", facts{err: context.Canceled, cause: io.ErrShortWrite}, ended, none, false, engine.ByCaller},
		{"lost hedge", facts{err: context.Canceled, cause: engine.ErrLost}, ended, none, false, engine.ByLoop},
		{"stalled upload", facts{err: context.Canceled, cause: errIdle}, health.Failed, engine.Reset, false, 0},
	} {
		got := row.f.judge()
		if got.Outcome != row.outcome || got.Kind != row.kind || got.Unsent != row.unsent || got.Ended != row.ended || got.Answer || got.Err == nil {
			t.Errorf("%s: %+v", row.name, got)
		}
	}
}

func TestSafeAndReplayable(t *testing.T) {
	key := http.Header{"Idempotency-Key": {"1"}}
	body := io.NopCloser(io.LimitReader(nil, 0))
	again := func() (io.ReadCloser, error) { return body, nil }
	for _, row := range []struct {
		r                *http.Request
		safe, rewindable bool
	}{
		{&http.Request{}, true, true},
		{&http.Request{Method: http.MethodGet}, true, true},
		{&http.Request{Method: http.MethodHead, Body: http.NoBody}, true, true},
		{&http.Request{Method: http.MethodGet, Body: body}, true, false},
		{&http.Request{Method: http.MethodGet, Body: body, GetBody: again}, true, true},
		{&http.Request{Method: http.MethodPut}, false, true},
		{&http.Request{Method: http.MethodDelete}, false, true},
		{&http.Request{Method: http.MethodPost, Body: body, GetBody: again}, false, true},
		{&http.Request{Method: http.MethodPost, Body: body, GetBody: again, Header: key}, true, true},
		{&http.Request{Method: http.MethodPost, Body: body, Header: http.Header{"X-Idempotency-Key": nil}}, true, false},
	} {
		if safe(row.r) != row.safe || rewindable(row.r) != row.rewindable || replayable(row.r) != (row.safe && row.rewindable) {
			t.Errorf("%s %v: safe %v, rewindable %v", row.r.Method, row.r.Header, safe(row.r), rewindable(row.r))
		}
	}
}

func TestDirectBodies(t *testing.T) {
	file, err := os.Open("classify_test.go")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close() //nolint:errcheck // only read
	get := func(r io.Reader) io.Reader {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://svc/", r)
		if err != nil {
			t.Fatal(err)
		}
		return req.Body
	}
	pipe, _ := io.Pipe()
	for _, row := range []struct {
		body io.Reader
		want bool
	}{
		{get(newReader("strings")), true}, {get(newReader("bytes")), true}, {get(newReader("buffer")), true},
		{file, true}, {pipe, false}, {get(io.LimitReader(pipe, 1)), false},
	} {
		if got := direct(row.body); got != row.want {
			t.Errorf("%T: %v", row.body, got)
		}
	}
}

func TestTraceKeyIsKnown(t *testing.T) {
	if traceKey == nil {
		t.Fatal("httptrace no longer looks into the context: the guard then costs an allocation more")
	}
	x := &exchange{attemptContext: attemptContext{Context: context.Background()}}
	if fmt.Sprintf("%p", x.traceContext()) != fmt.Sprintf("%p", x) {
		t.Error("the exchange is not its own trace context")
	}
}

func newReader(kind string) io.Reader {
	switch kind {
	case "strings":
		return strings.NewReader("x")
	case "bytes":
		return bytes.NewReader([]byte("x"))
	default:
		return bytes.NewBufferString("x")
	}
}

package httpclient

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/onehop-go/onehop/internal/engine"
	"github.com/onehop-go/onehop/internal/health"
)

// exchange is one attempt: a request on the wire and its answer. It is the context, the request and the response's body of
// the attempt in one allocation, because a call's price is mostly its allocations and their bytes. It is never reused: a
// transport may hold the request after RoundTrip has returned.
type exchange struct {
	engine.State
	attemptContext // of the request

	call     *call
	req      http.Request
	resp     *http.Response
	trace    httptrace.ClientTrace
	upload   *upload                    // the request's body, where it is watched
	clock    *clock                     // nil: the policy sets no time
	dial     atomic.Pointer[time.Timer] // connect_timeout of a dial made for this attempt
	rc       io.ReadCloser              // the response's own body
	unfollow func() bool                // lets go of the caller's context; nil: that one cannot end
	wire     atomic.Uint32              // what is known of the connection: see wire.go
	h2c      bool                       // a connection without TLS may speak HTTP/2
	traced   bool                       // the caller has a trace of its own
	given    atomic.Bool                // the caller has the body: its context ends it if it is abandoned
	over     atomic.Bool                // the second end has come
}

// Why an attempt's context was cancelled, besides the engine's timeouts.
var (
	errGuard   = errors.New("httpclient: the connection broke and net/http would have sent the request again by itself")
	errDropped = errors.New("httpclient: the answer was not wanted")
)

type exchangeKey struct{}

// exchangeOf is the attempt a dial is made for; nil: none of ours.
func exchangeOf(ctx context.Context) *exchange {
	x, _ := ctx.Value(exchangeKey{}).(*exchange)
	return x
}

// Value is the context's, and finds the exchange itself and its trace.
func (x *exchange) Value(key any) any {
	switch {
	case key == traceKey && !x.traced:
		return &x.trace
	case key == exchangeKey{}:
		return x
	}
	return x.Context.Value(key)
}

// traceKey is under what httptrace keeps a trace in a context. An exchange is its own context and answers for the key
// itself: that saves httptrace.WithClientTrace's context, an allocation and 5 % of what a call costs.
var traceKey = findTraceKey()

func findTraceKey() (key any) {
	httptrace.ContextClientTrace(keyFinder{context.Background(), &key})
	return key
}

type keyFinder struct {
	context.Context
	key *any
}

func (f keyFinder) Value(key any) any {
	*f.key = key
	return nil
}

// traceContext is the request's context. A trace of the caller's own, or of an instrumenting wrapper, hears all as well.
func (x *exchange) traceContext() context.Context {
	if x.traced = traceKey == nil || httptrace.ContextClientTrace(x.Context) != nil; x.traced {
		return httptrace.WithClientTrace(x, &x.trace)
	}
	return x
}

// Deadline of the request is the earlier of the caller's and the policy's.
func (x *exchange) Deadline() (time.Time, bool) {
	d, ok := x.Context.Deadline()
	if x.State.Deadline() == 0 {
		return d, ok
	}
	if ours := health.Time(x.State.Deadline()); !ok || ours.Before(d) {
		return ours, true
	}
	return d, true
}

// Send implements engine.Attempt.
func (x *exchange) Send(ctx context.Context) engine.Result {
	if !x.Pick(nil) {
		return engine.Result{}
	}
	ctx = x.Begun(ctx)
	if err := x.prepare(ctx); err != nil {
		x.finish()
		return engine.Result{Outcome: health.Ignored, Err: err}
	}
	p := x.call.transport.poolOf(x)
	x.h2c = p.h2c
	resp, err := p.rt.RoundTrip(&x.req)
	x.connected()
	expired := x.clock != nil && !x.clock.answered()
	if err == nil && expired { // the timer was first: its word stands, as a late answer's would have been
		resp.Body.Close() //nolint:errcheck // not read
		err = x.reason()
	}
	if err != nil {
		return x.failed(p, err)
	}
	x.resp = resp
	x.call.sent.Add(1)
	if x.upload != nil {
		x.upload.settle()
	}
	return x.answered()
}

// prepare makes the request of this attempt from the caller's, which stays as it is.
func (x *exchange) prepare(ctx context.Context) error {
	x.Context = ctx
	if ctx.Done() != nil {
		x.unfollow = context.AfterFunc(ctx, x.abandoned)
	}
	x.trace.GetConn = x.getConn
	x.trace.GotConn = x.gotConn
	x.trace.WroteHeaders = x.progress
	x.trace.GotFirstResponseByte = x.trace.WroteHeaders // one closure for both: see progress
	if x.clock != nil {
		x.clock.start(x)
	}
	x.req = *x.call.req.WithContext(x.traceContext()) //nolint:contextcheck // derived from ctx
	x.tell()
	if x.call.source != nil {
		return x.call.source.attach(x)
	}
	return nil
}

// tell puts into the attempt's own header what downstream should know: which attempt it is, how much time is left.
func (x *exchange) tell() {
	sent := x.call.sent.Load() // what was never sent, nobody downstream has seen
	deadline, bounded := time.Time{}, false
	if x.call.transport.tellTime {
		deadline, bounded = x.Deadline()
	}
	if sent == 0 && !bounded {
		return
	}
	x.req.Header = x.req.Header.Clone()
	if sent > 0 {
		x.req.Header.Set(attemptCount, strconv.Itoa(int(sent)+1))
	}
	if bounded {
		x.req.Header.Set(timeLeft, strconv.FormatInt(max(1, time.Until(deadline).Milliseconds()), 10))
	}
}

// timeLeft tells downstream the milliseconds left of the call, as Envoy does.
const timeLeft = "X-Envoy-Expected-Rq-Timeout-Ms"

// attemptCount tells downstream which attempt of its caller a request is, as Envoy does; the first does not say so.
const attemptCount = "X-Envoy-Attempt-Count"

// answered is the first end of an attempt that got a response.
func (x *exchange) answered() engine.Result {
	r := judgeResponse(x.resp, time.Now)
	return x.call.transport.reclassify(r, x.resp, nil)
}

// failed is the first end of an attempt that got none.
func (x *exchange) failed(p *pool, err error) engine.Result {
	f := x.facts(err)
	r := f.judge()
	if r.Outcome == health.Refused || f.unconnected && r.Outcome == health.Failed {
		host := ""
		if x.req.URL.Scheme == "https" {
			host = x.req.URL.Hostname()
		}
		r.Redial = func(ctx context.Context) error { return p.probe(ctx, host) }
	}
	if !r.Unsent {
		x.call.sent.Add(1)
	}
	if x.upload != nil && !(r.Unsent && x.upload.spare()) {
		x.upload.settle()
	}
	if f.local() {
		r.Err = &localError{err}
	}
	x.finish()
	return x.call.transport.reclassify(r, nil, err)
}

// facts gathers what is known about a failure.
func (x *exchange) facts(err error) facts {
	wire := x.wire.Load()
	f := facts{
		err:         err,
		unconnected: wire&asked != 0 && wire&got == 0,
		unwritten:   wire&got != 0 && wire&wrote == 0,
		untraced:    wire&asked == 0,
		stale:       wire&(http1|reused) == http1|reused && wire&replied == 0,
		rewindable:  rewindable(x.call.req) || x.upload != nil && x.upload.untouched(),
	}
	if x.clock != nil {
		f.late = x.clock.lateness()
	}
	if x.Err() != nil {
		f.cause = x.reason()
	} else if canceled(x.call.req) {
		f.cause = err // net/http's own
	}
	if x.upload != nil {
		f.reader = x.upload.failure()
	}
	return f
}

// Discard implements engine.Attempt: another attempt follows or has won.
func (x *exchange) Discard() {
	if x.resp == nil {
		return
	}
	// The rest of a small answer is read so that its connection lives on; not more, and not for long.
	t := time.AfterFunc(drainTime, func() { x.cancel(errDropped) })
	_, _ = io.CopyN(io.Discard, x.resp.Body, drainSize)
	t.Stop()
	x.resp.Body.Close() //nolint:errcheck // what it says interests nobody
	x.finish()
}

const (
	drainSize = 16 << 10
	drainTime = 50 * time.Millisecond
)

// finish ends the attempt once, and releases what it holds. Its context stays as it is: net/http has ended what it
// derived from it or is about to, and to end it from here as well is a goroutine for nothing.
func (x *exchange) finish() bool {
	if x.over.Swap(true) {
		return false
	}
	if x.unfollow != nil {
		x.unfollow()
	}
	x.release()
	return true
}

func (x *exchange) release() {
	if x.clock != nil {
		x.clock.stop()
	}
}

// end is the second end: the body is over, and err, unless nil, is what broke it.
func (x *exchange) end(err error, broken bool) {
	if x.finish() {
		x.End(err, broken)
	}
}

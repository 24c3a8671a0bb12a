package grpcresolver

import (
	"errors"
	"net"
	"strconv"
	"syscall"
	"time"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/onehop-go/onehop/internal/engine"
	"github.com/onehop-go/onehop/internal/health"
)

// facts are what is known of an attempt that failed by itself: no timer and no caller ended it.
type facts struct {
	err     error
	picked  bool
	sent    bool  // it had a stream: BytesSent=false is the only public proof of the contrary
	refused error // no connection could be had
	local   bool  // this side could not send it
	capped  bool  // the Picker refused to go on
	torn    bool  // the connection broke in the middle of a unary call's answer, of which nothing is the caller's yet
	info    balancer.DoneInfo
}

// answered says that the server spoke; committed, that it went beyond a trailers-only answer, after which gRFC A6
// allows no retry. Seen from outside, the two differ by content-type: in a trailers-only answer it arrives with the trailers
// (PROTOCOL-HTTP2, Trailers-Only). A server that leaves it out is taken to have committed.
func (f *facts) answered() bool { return f.info.BytesReceived }

func (f *facts) committed() bool {
	return f.info.BytesReceived && len(f.info.Trailer["content-type"]) == 0
}

// unread says that the server sent the stream back before it looked at it: it refused the stream (RFC 9113 8.7) or said with
// its GOAWAY that it would not process it (6.8), which leaving tells: no fault of the endpoint's. grpc-go repeats such a stream
// by itself, but once, and tells of the second time by its text alone. A server cannot say these words for itself: a status of
// its own comes with bytes.
func (f *facts) unread() (unread, leaving bool) {
	if !f.sent || f.answered() {
		return false, false
	}
	switch status.Convert(f.err).Message() {
	case "stream terminated by RST_STREAM with error code: REFUSED_STREAM":
		return true, false
	case "the stream is rejected because server is draining the connection", "the connection is draining":
		return true, true
	}
	return false, false
}

// classify is the gRPC half of the table of outcomes: everything after it knows only the Result.
func classify(f facts) engine.Result {
	code := status.Code(f.err)
	r := engine.Result{Err: f.err, Code: uint32(code)}
	switch {
	case f.refused != nil:
		return refusal(f.refused)
	case f.capped && !f.sent, !f.picked, f.local, !f.sent && code != codes.Unavailable,
		!f.answered() && code == codes.ResourceExhausted: // a message above this side's own limit
		// No request reached the server, and another endpoint would not change that: the caller's own fault, or a closing
		// ClientConn.
		r.Outcome, r.Answer, r.Stop = health.Ignored, true, true
		return r
	case !f.sent:
		r.Outcome, r.Unsent, r.Kind = health.Ignored, true, engine.Unavailable
		return r
	}
	r.Answer = f.answered() && !f.torn
	r.Outcome, r.Kind = judge(code)
	if !r.Answer {
		r.Kind |= engine.Reset
	}
	unread, leaving := f.unread()
	if r.Unprocessed = unread; leaving {
		r.Outcome = health.Ignored
	}
	r.Stop, r.Pause = pushback(f.info.Trailer)
	r.Stop, r.Spent = r.Stop || f.committed() && !f.torn, f.capped
	return r
}

// judge is what a code says about the endpoint.
func judge(code codes.Code) (health.Outcome, engine.Kind) {
	switch code {
	case codes.Unavailable:
		return health.Failed, engine.Unavailable
	case codes.Internal, codes.Unknown, codes.DataLoss:
		return health.Failed, engine.ServerError
	case codes.ResourceExhausted:
		return health.Pushback, 0
	default: // OK and the application's own: the endpoint works
		return health.OK, 0
	}
}

// refusal is an attempt that found no connection: never sent.
func refusal(err error) engine.Result {
	r := engine.Result{Outcome: health.Refused, Unsent: true, Kind: engine.Unavailable, Err: err}
	if n, ok := engine.Network(err); ok && n.Unsent {
		r.Outcome = n.Outcome
	}
	return r
}

// pushback reads the server's word on retries: gRFC A6's delay binds the endpoint that said it, a negative or
// unreadable one stops, as does Envoy's rate limit.
func pushback(trailer metadata.MD) (stop bool, pause time.Duration) {
	if len(trailer["x-envoy-ratelimited"]) > 0 {
		return true, 0
	}
	values := trailer["grpc-retry-pushback-ms"]
	if len(values) == 0 {
		return false, 0
	}
	ms, err := strconv.ParseInt(values[0], 10, 32)
	if len(values) > 1 || err != nil || ms < 0 {
		return true, 0
	}
	return false, time.Duration(ms) * time.Millisecond
}

// isDial says that err is of a connection that was never made.
func isDial(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial" || errors.Is(err, syscall.ECONNREFUSED)
}

package grpcresolver

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/onehop-go/onehop/internal/engine"
	"github.com/onehop-go/onehop/internal/health"
)

// trailersOnly is the end of an attempt by a trailers-only answer, the only one that gRFC A6 lets be followed by another.
func trailersOnly(more ...string) balancer.DoneInfo {
	trailer := metadata.Join(metadata.Pairs(more...), metadata.Pairs("content-type", "application/grpc"))
	return balancer.DoneInfo{BytesSent: true, BytesReceived: true, Trailer: trailer}
}

func TestClassify(t *testing.T) {
	answer := func(code codes.Code, info balancer.DoneInfo) facts {
		return facts{err: status.Error(code, ""), picked: true, sent: true, info: info}
	}
	sayingSo := func(text string, info balancer.DoneInfo) facts {
		return facts{err: status.Error(codes.Unavailable, text), picked: true, sent: true, info: info}
	}
	broken := balancer.DoneInfo{BytesSent: true}
	committed := balancer.DoneInfo{BytesSent: true, BytesReceived: true}
	refused := fmt.Errorf("transport: %w", &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)})
	full := fmt.Errorf("transport: %w", &net.OpError{Op: "dial", Err: os.NewSyscallError("socket", syscall.EMFILE)})
	slow := fmt.Errorf("transport: %w", &net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded})
	const sorry = engine.ServerError
	unavailable := func(trailer ...string) facts { return answer(codes.Unavailable, trailersOnly(trailer...)) }
	failed := engine.Result{Outcome: health.Failed, Answer: true, Kind: engine.Unavailable}
	stopped, paused := failed, failed
	stopped.Stop, paused.Pause = true, 30*time.Millisecond
	unsent := engine.Result{Outcome: health.Ignored, Unsent: true, Kind: engine.Unavailable}
	own := engine.Result{Outcome: health.Ignored, Answer: true, Stop: true} // the caller's own fault
	for name, c := range map[string]struct {
		facts facts
		want  engine.Result
	}{
		"UNAVAILABLE":                     {unavailable(), failed},
		"INTERNAL":                        {answer(codes.Internal, trailersOnly()), engine.Result{Outcome: health.Failed, Answer: true, Kind: sorry}},
		"UNKNOWN":                         {answer(codes.Unknown, trailersOnly()), engine.Result{Outcome: health.Failed, Answer: true, Kind: sorry}},
		"DATA_LOSS":                       {answer(codes.DataLoss, trailersOnly()), engine.Result{Outcome: health.Failed, Answer: true, Kind: sorry}},
		"RESOURCE_EXHAUSTED":              {answer(codes.ResourceExhausted, trailersOnly()), engine.Result{Outcome: health.Pushback, Answer: true}},
		"an application's code":           {answer(codes.NotFound, trailersOnly()), engine.Result{Outcome: health.OK, Answer: true}},
		"DEADLINE_EXCEEDED of the server": {answer(codes.DeadlineExceeded, trailersOnly()), engine.Result{Outcome: health.OK, Answer: true}},
		"after headers: committed":        {answer(codes.Unavailable, committed), stopped},
		"connection broken in the answer": {
			facts{err: status.Error(codes.Unavailable, ""), picked: true, sent: true, torn: true, info: committed},
			engine.Result{Outcome: health.Failed, Kind: engine.Unavailable | engine.Reset},
		},
		"connection broken before answer": {answer(codes.Unavailable, broken), engine.Result{Outcome: health.Failed, Kind: engine.Unavailable | engine.Reset}},
		"stream reset before answer":      {answer(codes.Internal, broken), engine.Result{Outcome: health.Failed, Kind: sorry | engine.Reset}},
		"a stream that was refused": {
			sayingSo("stream terminated by RST_STREAM with error code: REFUSED_STREAM", broken),
			engine.Result{Outcome: health.Failed, Unprocessed: true, Kind: engine.Unavailable | engine.Reset},
		},
		"a stream that a GOAWAY left out": {
			sayingSo("the stream is rejected because server is draining the connection", broken),
			engine.Result{Outcome: health.Ignored, Unprocessed: true, Kind: engine.Unavailable | engine.Reset},
		},
		"a stream that a GOAWAY overtook": {
			sayingSo("the connection is draining", broken),
			engine.Result{Outcome: health.Ignored, Unprocessed: true, Kind: engine.Unavailable | engine.Reset},
		},
		"a server that says so itself": {
			sayingSo("stream terminated by RST_STREAM with error code: REFUSED_STREAM", trailersOnly()), failed,
		},
		"message too large for this side": {answer(codes.ResourceExhausted, broken), own},
		"pushback of 30 ms":               {unavailable("grpc-retry-pushback-ms", "30"), paused},
		"pushback of 0":                   {unavailable("grpc-retry-pushback-ms", "0"), failed},
		"negative pushback: never":        {unavailable("grpc-retry-pushback-ms", "-1"), stopped},
		"unreadable pushback: never":      {unavailable("grpc-retry-pushback-ms", "soon"), stopped},
		"two pushbacks: never":            {unavailable("grpc-retry-pushback-ms", "1", "grpc-retry-pushback-ms", "2"), stopped},
		"Envoy's rate limit: never":       {unavailable("x-envoy-ratelimited", "true"), stopped},
		"connection refused":              {facts{picked: true, refused: refused}, engine.Result{Outcome: health.Refused, Unsent: true, Kind: engine.Unavailable}},
		"dial timed out":                  {facts{picked: true, refused: slow}, engine.Result{Outcome: health.Failed, Unsent: true, Kind: engine.Unavailable}},
		"out of file descriptors":         {facts{picked: true, refused: full}, unsent},
		"never sent":                      {facts{picked: true, err: status.Error(codes.Unavailable, "")}, unsent},
		"credentials of this side":        {facts{picked: true, err: status.Error(codes.Unauthenticated, "")}, own},
		"bad metadata":                    {facts{err: status.Error(codes.Internal, "")}, own},
		"a request that cannot be encoded": {
			facts{picked: true, sent: true, local: true, err: status.Error(codes.Internal, ""), info: broken}, own,
		},
		"the cap, after a refused stream": {
			facts{picked: true, sent: true, capped: true, err: status.Error(codes.Unavailable, ""), info: broken},
			engine.Result{Outcome: health.Failed, Kind: engine.Unavailable | engine.Reset, Spent: true},
		},
		"the cap, before anything": {facts{capped: true, err: status.Error(codes.Unavailable, "")}, own},
	} {
		got := classify(c.facts)
		if c.facts.refused == nil {
			c.want.Code = uint32(status.Code(c.facts.err))
		}
		got.Err, got.Redial = nil, nil
		if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", c.want) {
			t.Errorf("%s:\ngot  %+v\nwant %+v", name, got, c.want)
		}
	}
}

func TestCodesOfErrors(t *testing.T) {
	for err, want := range map[error]codes.Code{
		engine.ErrAttemptTimeout:                              codes.DeadlineExceeded,
		status.Error(codes.Internal, ""):                      codes.Internal,
		errors.New("anything"):                                codes.Unavailable,
		&net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}: codes.Unavailable,
	} {
		if got := codeOf(err); got != want {
			t.Errorf("%v: %v, want %v", err, got, want)
		}
	}
}

func TestReportOfAnAttemptAlone(t *testing.T) {
	end := func(code codes.Code, info balancer.DoneInfo) balancer.DoneInfo {
		info.Err = status.Error(code, "")
		return info
	}
	sent := balancer.DoneInfo{BytesSent: true}
	for name, c := range map[string]struct {
		info balancer.DoneInfo
		took time.Duration
		want health.Outcome
	}{
		"ok":                         {balancer.DoneInfo{BytesSent: true, BytesReceived: true}, time.Millisecond, health.OK},
		"caller cancelled":           {end(codes.Canceled, sent), time.Millisecond, health.Ignored},
		"caller's short deadline":    {end(codes.DeadlineExceeded, sent), 50 * time.Millisecond, health.Ignored},
		"caller's generous deadline": {end(codes.DeadlineExceeded, sent), 2 * time.Second, health.Failed},
		"server's UNAVAILABLE":       {end(codes.Unavailable, trailersOnly()), time.Millisecond, health.Failed},
	} {
		if r := alone(c.info, time.Hour, time.Hour+c.took, time.Millisecond, true); r.Outcome != c.want {
			t.Errorf("%s: %v", name, r.Outcome)
		}
	}
}

package interop

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"
)

// listener is a stats.Handler that writes down what it is told, attempt by attempt.
type listener struct {
	mu       sync.Mutex
	attempts []*attempt
}

// attempt is one stream on the wire. grpc-go tells of it from three goroutines, each in its own order: who sends, who
// receives, and the connection's reader.
type attempt struct {
	method              string
	sent, received, led []string
	end                 chan struct{} // closed when it is over
}

type attemptKey struct{}

// TagRPC implements stats.Handler.
func (l *listener) TagRPC(ctx context.Context, i *stats.RPCTagInfo) context.Context {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := &attempt{method: fmt.Sprint(i.FullMethodName, " fail fast ", i.FailFast), end: make(chan struct{})}
	l.attempts = append(l.attempts, a)
	return context.WithValue(ctx, attemptKey{}, a)
}

// HandleRPC implements stats.Handler.
func (l *listener) HandleRPC(ctx context.Context, s stats.RPCStats) {
	a, _ := ctx.Value(attemptKey{}).(*attempt)
	l.mu.Lock()
	defer l.mu.Unlock()
	switch s := s.(type) {
	case *stats.Begin:
		a.sent = append(a.sent, fmt.Sprint("begin: fail fast ", s.FailFast, ", client stream ", s.IsClientStream,
			", server stream ", s.IsServerStream, ", transparent retry ", s.IsTransparentRetryAttempt))
	case *stats.OutHeader:
		a.sent = append(a.sent, fmt.Sprint("out header: ", s.FullMethod, " ", s.Compression, " ", s.RemoteAddr, " ", without(s.Header, "id", previousAttempts)))
	case *stats.OutPayload:
		a.sent = append(a.sent, fmt.Sprintf("out payload: %T %d %d %d", s.Payload, s.Length, s.CompressedLength, s.WireLength))
	case *stats.InHeader:
		a.led = append(a.led, fmt.Sprint("in header: ", s.Compression, " ", s.WireLength, " ", s.Header))
	case *stats.InTrailer:
		a.led = append(a.led, fmt.Sprint("in trailer: ", s.Trailer))
	case *stats.InPayload:
		a.received = append(a.received, fmt.Sprintf("in payload: %T %d %d %d", s.Payload, s.Length, s.CompressedLength, s.WireLength))
	case *stats.End:
		a.received = append(a.received, fmt.Sprintf("end: %v %v", status.Convert(s.Error), s.Trailer))
		close(a.end)
	default:
		a.sent = append(a.sent, fmt.Sprintf("%T", s))
	}
}

// TagConn implements stats.Handler.
func (*listener) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

// HandleConn implements stats.Handler.
func (*listener) HandleConn(context.Context, stats.ConnStats) {}

// told waits for the end of each attempt.
func (l *listener) told() string {
	var b strings.Builder
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := 0; i < len(l.attempts); i++ { //nolint:intrange // more may come meanwhile
		a := l.attempts[i]
		l.mu.Unlock()
		<-a.end
		l.mu.Lock()
		fmt.Fprintf(&b, "attempt %d: %s\n\t%s\n", i, a.method, strings.Join(append(append(a.sent, a.led...), a.received...), "\n\t"))
	}
	return b.String()
}

// without is md but for some keys.
func without(md metadata.MD, keys ...string) metadata.MD {
	md = md.Copy()
	for _, k := range keys {
		md.Delete(k)
	}
	return md
}

// A stats.Handler is told of every attempt what it is told of grpc-go's own: events, their contents and their order.
func TestStatsHandlerSeesTheSame(t *testing.T) {
	compare(t, func(*testing.T) ([]grpc.DialOption, func() string) {
		l := &listener{}
		return []grpc.DialOption{grpc.WithStatsHandler(l)}, l.told
	})
}

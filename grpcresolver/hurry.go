package grpcresolver

import (
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
)

// hurried is when the backoff of a ClientConn's connections was last cut short.
type hurried struct{ at atomic.Int64 }

// hurry makes a ClientConn none of whose endpoints can be reached try them all again, at most once a second: every call
// is lost meanwhile, and grpc-go's own backoff would miss the first that comes back by up to a minute.
func (h *hurried) hurry(now time.Duration, cc *grpc.ClientConn) {
	last := h.at.Load()
	if now-time.Duration(last) >= time.Second && h.at.CompareAndSwap(last, int64(now)) {
		cc.ResetConnectBackoff()
	}
}

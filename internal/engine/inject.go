package engine

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/onehop-go/onehop/internal/health"
)

// ErrInjected is the error of an attempt that fault injection aborted.
var ErrInjected = errors.New("aborted by fault injection")

// Injection is what is done to a share of an upstream's attempts on a game day. The zero value does nothing.
type Injection struct {
	Delay      time.Duration
	DelayShare float64 // 0 to 1
	AbortShare float64 // 0 to 1
}

// inject delays or aborts an attempt by chance, before it is sent; true: it was aborted. No endpoint is charged for
// either: the delay ends before the pick whose time is measured, and an abort says nothing of the endpoint it names.
func (c *Call) inject(ctx context.Context, s *State) (Result, bool) {
	in := c.upstream.env.Injection
	if in == nil {
		return Result{}, false
	}
	if in.Delay > 0 && rand.Float64() < in.DelayShare {
		c.upstream.decided(ctx, "inject_delay", "", true)
		c.sleep(ctx, in.Delay)
		s.start = 0 // the pick reads the clock anew
	}
	if rand.Float64() >= in.AbortShare || !s.Pick(nil) {
		return Result{}, false
	}
	c.upstream.decided(ctx, "inject_abort", "", true)
	s.Begun(ctx)
	return Result{Outcome: health.Injected, Kind: Unavailable, Err: ErrInjected}, true
}

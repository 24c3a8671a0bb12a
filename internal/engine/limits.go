package engine

import (
	"errors"
	"math"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/onehop-go/onehop/internal/health"
	"github.com/onehop-go/onehop/policy"
)

var (
	errConcurrency = errors.New("limits.concurrency is reached")
	errRate        = errors.New("limits.rate is reached")
)

// gate is the fixed limits of an upstream or of one of its routes. What is in flight survives a change of the limits.
// The zero value lets everything in. There is no queue: a call is let in or refused at once.
type gate struct {
	inflight atomic.Int64
	most     atomic.Int64 // 0: no limit
	limiter  atomic.Pointer[rate.Limiter]
}

// configure sets the limits; it returns nil where there are none.
func (g *gate) configure(l policy.Limits) *gate {
	g.most.Store(int64(l.Concurrency))
	switch old := g.limiter.Load(); {
	case l.Rate <= 0:
		g.limiter.Store(nil)
	case old == nil || old.Limit() != rate.Limit(l.Rate):
		g.limiter.Store(rate.NewLimiter(rate.Limit(l.Rate), int(math.Ceil(l.Rate)))) // a second's worth at once
	}
	if l == (policy.Limits{}) {
		return nil
	}
	return g
}

// enter lets a call in, and then leave must follow, or says what is reached.
func (g *gate) enter(now time.Duration) error {
	if g == nil {
		return nil
	}
	if n, most := g.inflight.Add(1), g.most.Load(); most > 0 && n > most {
		g.inflight.Add(-1)
		return errConcurrency
	}
	if l := g.limiter.Load(); l != nil && !l.AllowN(health.Time(now), 1) {
		g.inflight.Add(-1)
		return errRate
	}
	return nil
}

func (g *gate) leave() {
	if g != nil {
		g.inflight.Add(-1)
	}
}

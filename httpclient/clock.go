package httpclient

import (
	"context"
	"errors"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
	"time"

	"github.com/onehop-go/onehop/internal/engine"
	"github.com/onehop-go/onehop/internal/health"
)

// clock ends an attempt in time, by one timer; an attempt has one only where the policy sets a time. Until the final
// headers it holds the call's deadline and, from the request fully written, attempt_timeout; after them, and while a body
// is sent, idle_timeout. A dial has a timer of its own, since it is rare.
type clock struct {
	x    *exchange
	idle time.Duration // 0: none

	reads  waits // of the response's body by the caller
	writes waits // of the request's body by the connection

	mu      sync.Mutex // all below
	phase   phase
	timer   *time.Timer
	end     time.Duration // instant at which cause ends the attempt; 0: none
	cause   error
	tick    time.Duration // instant of the next look at what waits; 0: none
	expired bool
	late    time.Duration
}

type phase uint8

const (
	sending phase = iota
	waiting       // for the final headers: the request is written
	reading       // the answer's body
	stopped
)

// waits counts the beginnings and ends of an operation, so that a timer can tell without a clock read whether the same
// one has been waiting since its last look.
type waits struct {
	seq  atomic.Uint32 // odd: waiting
	seen uint32        // at the last look; the timer's own
}

func (w *waits) begin() { w.seq.Or(1) }

func (w *waits) end() {
	if n := w.seq.Load(); n%2 == 1 {
		w.seq.CompareAndSwap(n, n+1)
	}
}

func (w *waits) stalled() bool {
	now := w.seq.Load()
	same := now == w.seen
	w.seen = now
	return same && now%2 == 1
}

// errIdle ends a body that stalled.
var errIdle error = idleError{}

type idleError struct{}

func (idleError) Error() string        { return "httpclient: idle_timeout is over: the body has stalled" }
func (idleError) Timeout() bool        { return true }
func (idleError) Temporary() bool      { return true }
func (idleError) Is(target error) bool { return target == context.DeadlineExceeded }

// start begins an attempt's time.
func (c *clock) start(x *exchange) {
	c.x, c.idle = x, x.Call().IdleTimeout()
	if x.Timeout > 0 {
		x.trace.WroteRequest = c.wroteRequest
	}
	if x.State.Deadline() == 0 && c.idle == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	now := health.Now()
	c.end, c.cause = x.State.Deadline(), engine.ErrTimeout
	if c.idle > 0 && hasBody(x.call.req) {
		c.tick = now + c.idle
	}
	c.arm(now)
}

// wroteRequest begins attempt_timeout.
func (c *clock) wroteRequest(info httptrace.WroteRequestInfo) {
	if info.Err != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.phase != sending {
		return // the answer was faster
	}
	c.phase = waiting
	now := health.Now()
	if end := now + c.x.Timeout; c.end == 0 || end < c.end {
		c.end, c.cause = end, engine.ErrAttemptTimeout
		c.arm(now)
	}
}

// answered ends the time for headers and begins that of the body. false: the time was over before.
func (c *clock) answered() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.expired {
		return false
	}
	c.phase, c.end = reading, 0
	now := health.Now()
	if c.idle > 0 {
		c.tick = now + c.idle
	}
	c.arm(now)
	return true
}

// stop ends all time: the attempt is over, or its connection is the caller's.
func (c *clock) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.phase, c.end, c.tick = stopped, 0, 0
	c.arm(0)
}

// arm sets the timer to what is due first. Under mu.
func (c *clock) arm(now time.Duration) {
	due := c.end
	if c.tick != 0 && (due == 0 || c.tick < due) {
		due = c.tick
	}
	switch {
	case due == 0:
		if c.timer != nil {
			c.timer.Stop()
		}
	case c.timer == nil:
		c.timer = time.AfterFunc(due-now, c.fire)
	default:
		c.timer.Reset(due - now)
	}
}

// fire is the timer. One that fires late, after it was set anew, finds nothing due.
func (c *clock) fire() {
	c.mu.Lock()
	cause := c.due(health.Now())
	c.mu.Unlock()
	if cause != nil {
		c.x.cancel(cause)
	}
}

// due is what is over by now; else the timer goes on. Under mu.
func (c *clock) due(now time.Duration) error {
	switch {
	case c.end != 0 && now >= c.end:
		c.expired, c.late = true, now-c.end
		return c.cause
	case c.tick != 0 && now >= c.tick:
		reads, writes := c.reads.stalled(), c.writes.stalled()
		if reads || writes {
			c.expired = true
			return errIdle
		}
		c.tick = now + c.idle
	}
	c.arm(now)
	return nil
}

// lateness is how long after its time the timer ended the attempt: our own stall.
func (c *clock) lateness() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.late
}

// errConnect ends an attempt that has waited connect_timeout for its connection, dial and TLS handshake together.
var errConnect = errors.New("httpclient: connect_timeout is over")

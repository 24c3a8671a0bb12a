package health

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/onehop-go/onehop/resolver"
)

// Endpoint is one address of an upstream and what its attempts told. It survives snapshots by identity: address and
// id. Safe for concurrent use.
//
// It is what a pick reads, in one cache line, so that those of many endpoints lie close together: of two drawn out of
// 100,000 nothing else is touched, and the fewer pages they fill the fewer are missed. All else is in record.
type Endpoint struct {
	latency  latency
	failures failures
	inflight atomic.Int32
	weight   weight
	since    atomic.Int64 // start of the slow start; 0: none
	paused   atomic.Int64 // Retry-After, pushback: not before this instant while another can serve

	*record
	_ [16]byte // a whole line: the allocator then begins each endpoint at one
}

// record is what of an endpoint no pick reads.
type record struct {
	info   atomic.Pointer[resolver.Endpoint]
	tier   int          // of its datacenter: 0 the own
	consec atomic.Int32 // failures in a row: gobreaker's own count expires with its buckets
	missed atomic.Int32 // attempts in a row that could not connect
	lastOK atomic.Int64 // instant
	dialed atomic.Int64 // instant of the last completed dial: its time is no latency of the endpoint

	breaker atomic.Pointer[breaker] // nil: no failure in the last window
	state   atomic.Uint32
	conns   atomic.Int32 // of layer 4, which stay when nothing is asked of them: no load that a call could be compared by
	retryAt atomic.Int64 // open: probe then; probing: the probe has failed by then

	// Below: written under Set.mu.
	opened atomic.Int64 // instant
	closed time.Duration
	opens  int
	redial func(context.Context) error
	trial  *trial

	reports    atomic.Pointer[reports] // nil: it has said nothing of its load
	attached   atomic.Pointer[attachment]
	mu         sync.Mutex // attached, gone
	gone       bool
	confirming atomic.Bool // a confirming dial is under way

	round uint64 // of the last snapshot that had it. Under Set.mu
}

// The states of an endpoint.
const (
	closed  uint32 = iota // available
	open                  // avoided
	probing               // one attempt or dial decides
)

func newEndpoint(info *resolver.Endpoint, since time.Duration) *Endpoint {
	e := &Endpoint{record: &record{}}
	e.describe(info)
	e.since.Store(int64(since))
	return e
}

func (e *Endpoint) describe(info *resolver.Endpoint) {
	e.info.Store(info)
	e.weight.set(float64(e.listed()))
}

func (e *Endpoint) key() key {
	info := e.info.Load()
	return key{info.Addr, info.ID, e.tier}
}

// Info is the endpoint as discovery last described it. Never write to it.
func (e *Endpoint) Info() *resolver.Endpoint { return e.info.Load() }

// Addr is its "host:port".
func (e *Endpoint) Addr() string { return e.info.Load().Addr }

// Begin counts an attempt as in flight, from its pick on; conn: as a layer 4 connection.
func (e *Endpoint) Begin(conn bool) { e.count(conn).Add(1) }

// End is the second end of an attempt: nothing of it is in flight any more.
func (e *Endpoint) End(conn bool) { e.count(conn).Add(-1) }

func (e *Endpoint) count(conn bool) *atomic.Int32 {
	if conn {
		return &e.conns
	}
	return &e.inflight
}

// InFlight is the number of attempts that have begun and not ended.
func (e *Endpoint) InFlight() int { return int(e.inflight.Load()) }

// Dialed says that a connection to the endpoint was made just now: attempts begun before it waited for it.
func (e *Endpoint) Dialed(now time.Duration) {
	e.dialed.Store(int64(now))
	e.missed.Store(0)
}

// Pause binds the endpoint to its own word (Retry-After, grpc-retry-pushback-ms): others are preferred until then.
func (e *Endpoint) Pause(until time.Duration) {
	for {
		old := e.paused.Load()
		if old >= int64(until) || e.paused.CompareAndSwap(old, int64(until)) {
			return
		}
	}
}

// resting says that the endpoint asked for a pause which is not over.
func (e *Endpoint) resting(now time.Duration) bool { return int64(now) < e.paused.Load() }

// Available says whether the endpoint's breaker is closed.
func (e *Endpoint) Available() bool { return e.state.Load() == closed }

// Success is the success share, 0 to 1.
func (e *Endpoint) Success(now time.Duration) float64 { return 1 - e.failures.read(millis(now)) }

// Latency is the peak average; 0: no sample yet.
func (e *Endpoint) Latency(now time.Duration) time.Duration {
	return time.Duration(e.latency.read(millis(now)) * float64(time.Second))
}

const (
	leastShare = 0.05 // a failing endpoint costs at most 400 times as much: never unreachable by cost alone
	leastRamp  = 0.1  // the share a newcomer starts with
	pausedCost = 1e6  // an endpoint that asked for a pause is taken only where no other is drawn
)

// cost is what one more attempt is expected to wait here, over what the endpoint is trusted with:
// latency x (in flight / weight + 1) / success share squared. The weight stands beside what is in flight and not under the
// whole: draws are by weight already, and at rest a heavy endpoint must not win every one of them. latency is the
// endpoint's own, or what it is taken for.
func (e *Endpoint) cost(now time.Duration, latency float64) float64 {
	c := latency * (float64(e.inflight.Load())/e.weight.get() + 1)
	if e.failures.none() && e.paused.Load() == 0 {
		return c
	}
	return c * e.distrust(now)
}

// distrust is by how much the endpoint's failures and its pause make it dearer.
func (e *Endpoint) distrust(now time.Duration) float64 {
	s := max(e.Success(now), leastShare)
	if e.resting(now) {
		return pausedCost / (s * s)
	}
	return 1 / (s * s)
}

// grown says whether a draw of the endpoint counts: always, but in its slow start only for the share that its age gives it.
// A cost divided by that share would not do: at rest a newcomer would lose every comparison and then win all at once.
func (e *Endpoint) grown(now, slowStart time.Duration) bool {
	since := e.since.Load()
	return since == 0 || e.growing(since, now, slowStart)
}

func (e *Endpoint) growing(since int64, now, slowStart time.Duration) bool {
	age := now - time.Duration(since)
	if age >= slowStart {
		e.since.CompareAndSwap(since, 0)
		return true
	}
	return rand.Float64() < max(leastRamp, float64(age)/float64(slowStart))
}

// Attachment is what a protocol keeps with an endpoint: its connections.
type Attachment interface {
	// Drain is called once when the endpoint is removed: close what is idle, let running attempts finish.
	Drain()
}

type attachment struct {
	owner any
	value Attachment
	next  *attachment
}

// Attached returns what owner keeps with the endpoint, made by create at first use. An endpoint that is gone already
// still serves the attempt that picked it: what is attached then is drained at once.
func (e *Endpoint) Attached(owner any, create func(*Endpoint) Attachment) Attachment {
	for a := e.attached.Load(); a != nil; a = a.next {
		if a.owner == owner {
			return a.value
		}
	}
	return e.attach(owner, create)
}

func (e *Endpoint) attach(owner any, create func(*Endpoint) Attachment) Attachment {
	e.mu.Lock()
	defer e.mu.Unlock()
	for a := e.attached.Load(); a != nil; a = a.next {
		if a.owner == owner {
			return a.value
		}
	}
	a := &attachment{owner: owner, value: create(e), next: e.attached.Load()}
	e.attached.Store(a)
	return a.value
}

// Detach forgets what owner keeps: an owner that closes.
func (e *Endpoint) Detach(owner any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	var kept *attachment
	for a := e.attached.Load(); a != nil; a = a.next {
		if a.owner != owner {
			kept = &attachment{owner: a.owner, value: a.value, next: kept}
		}
	}
	e.attached.Store(kept)
}

// Gone says whether the endpoint was removed: keep nothing for it beyond the attempt at hand.
func (e *Endpoint) Gone() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.gone
}

func (e *Endpoint) drain() {
	e.mu.Lock()
	first := e.attached.Load()
	e.gone = true
	e.mu.Unlock()
	for a := first; a != nil; a = a.next {
		a.value.Drain()
	}
}

package grpcresolver

import (
	"context"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/onehop-go/onehop/internal/engine"
)

// ledger is what the attempts of one call share.
type ledger struct {
	most  int32 // wire attempts a server may see
	waits bool  // wait for ready: a refused connection is no end
	wire  atomic.Int32
	mu    sync.Mutex
	last  error // of the last attempt that was on the wire
}

// bound fixes the wire attempts once the call has begun and the policy is known. The Picker refuses what would go
// beyond: grpc-go may try a stream again by itself, unseen by any interceptor.
func (l *ledger) bound(c *engine.Call) {
	l.most = int32(c.MaxAttempts())
	if c.Options != nil && c.Options.NoRetry {
		l.most = 1
	}
}

func (l *ledger) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last = err
}

func (l *ledger) lastError() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last
}

// try is one attempt, unary or stream. It travels in the context, where the Picker finds it: grpc-go's own attempts,
// transparent retries included, all pick through the same one.
type try struct {
	engine.State
	ledger *ledger
	ctx    context.Context         // that it was sent with: see carrier
	over   func(balancer.DoneInfo) // hears the end of a committed try; nil: nobody asks
	ahead  atomic.Bool             // the endpoint was picked before the Picker was asked

	mu        sync.Mutex // below: grpc-go picks and ends on goroutines of its own
	wire      int32      // wire attempts of this try
	live      bool       // one of them is under way
	sent      bool       // one of them had a stream: it may have been processed
	received  bool       // the last one that ended got an answer's first bytes
	capped    bool       // the Picker refused to go on
	committed bool       // it is the caller's
	last      error      // what the last one ended with
	trailer   metadata.MD
	refused   error // of the connection that a pick wanted
}

// carrier is a try as the context it travels in, and in which the Picker finds it: a context.WithValue less.
type carrier try

// Deadline implements context.Context.
func (c *carrier) Deadline() (time.Time, bool) { return c.ctx.Deadline() }

// Done implements context.Context.
func (c *carrier) Done() <-chan struct{} { return c.ctx.Done() }

// Err implements context.Context.
func (c *carrier) Err() error { return c.ctx.Err() }

// Value finds the try.
func (c *carrier) Value(key any) any {
	if _, ok := key.(tryKey); ok {
		return (*try)(c)
	}
	return c.ctx.Value(key)
}

type tryKey struct{}

func tryOf(ctx context.Context) *try {
	t, _ := ctx.Value(tryKey{}).(*try)
	return t
}

// carry is ctx with the try in it.
func (t *try) carry(ctx context.Context) context.Context {
	t.ctx = ctx
	return (*carrier)(t)
}

var (
	// errCapped has a code, so that grpc-go takes it for a drop, which nobody repeats. The caller sees the error before it.
	errCapped = status.Error(codes.Unavailable, "all wire attempts of the call are made")
	// previousAttempts tells servers how many attempts came before (gRFC A6).
	previousAttempts = "grpc-previous-rpc-attempts"
)

// pick chooses among the ready connections of p, by the upstream's judgement and this call's past.
func (t *try) pick(p *picker, info balancer.PickInfo) (balancer.PickResult, error) {
	if t.ledger.wire.Load() >= t.ledger.most {
		t.mu.Lock()
		t.capped = true
		t.mu.Unlock()
		return balancer.PickResult{}, errCapped
	}
	if !t.choose(p) {
		return balancer.PickResult{}, p.nobody()
	}
	result, err := p.ready[t.Endpoint()].Pick(info)
	if err != nil {
		t.Unpick()
		return balancer.PickResult{}, err
	}
	t.mu.Lock()
	earlier := t.ledger.wire.Add(1) - 1 - t.wire
	t.wire++
	t.live = true
	t.mu.Unlock()
	if earlier > 0 {
		result.Metadata = metadata.Pairs(previousAttempts, strconv.Itoa(int(earlier)))
	}
	result.Done = t.done
	return result, nil
}

// pickRefused is a pick where no connection can be had: it stands for a refused dial at one endpoint.
func (t *try) pickRefused(p *picker) error {
	t.forgo()
	if t.ledger.waits || !t.Pick(p.view()) {
		return p.nobody()
	}
	err := p.refused[t.Endpoint()]
	t.mu.Lock()
	t.refused = err
	t.mu.Unlock()
	return err
}

// errBroken is what grpc-go does not say where a connection broke in the middle of sending: it ends the attempt with no
// error, and only the absence of any byte received tells it from a good end. It may have been processed.
var errBroken = status.Error(codes.Unavailable, "the connection broke while the request was being sent")

// done is grpc-go's word on the end of one wire attempt.
func (t *try) done(info balancer.DoneInfo) {
	if info.BytesSent && !info.BytesReceived && info.Err == nil {
		info.Err = errBroken
	}
	t.mu.Lock()
	t.live = false
	if !info.BytesSent {
		t.wire--
		t.ledger.wire.Add(-1)
		if info.Err == nil { // the connection went away between pick and use: grpc-go picks again
			t.mu.Unlock()
			t.Unpick()
			return
		}
		t.ends(&info)
		t.mu.Unlock()
		return
	}
	t.ends(&info)
	t.sent = true
	committed := t.committed
	t.mu.Unlock()
	hearLoad(t.Call().Upstream().Set(), t.Endpoint(), info.Trailer)
	if info.Err != nil {
		t.ledger.fail(info.Err)
	}
	if committed {
		t.over(info)
	}
}

// ends keeps what is asked of a wire attempt's end.
func (t *try) ends(info *balancer.DoneInfo) {
	t.last, t.trailer, t.received = info.Err, info.Trailer, info.BytesReceived
}

// info is the end of the last wire attempt.
func (t *try) info() balancer.DoneInfo {
	return balancer.DoneInfo{Err: t.last, Trailer: t.trailer, BytesSent: t.sent, BytesReceived: t.received}
}

// commit makes the try the caller's: its end is told to over, at once where it has come already. unseen: another balancer
// than ours picked for it, and will not tell.
func (t *try) commit() (unseen bool) {
	t.mu.Lock()
	t.committed = true
	live, info := t.live, t.info()
	t.mu.Unlock()
	unseen = t.Endpoint() == nil
	if !live && !unseen {
		t.over(info)
	}
	return unseen
}

// facts are what is known after an attempt has failed with err.
func (t *try) facts(err error) facts {
	t.mu.Lock()
	defer t.mu.Unlock()
	f := facts{err: err, picked: t.Endpoint() != nil, sent: t.sent, refused: t.refused, capped: t.capped, info: t.info()}
	if f.capped {
		f.err = t.last
		if !t.sent {
			f.err = t.ledger.lastError()
		}
		if f.err == nil {
			f.err = err
		}
	}
	return f
}

// settled makes the last corrections to a failed attempt's result: a Client that was closed answers for it, unless the
// server did, and onehop.Classify has the last word on the outcome.
func (t *try) settled(f *facts, r engine.Result) engine.Result {
	if !f.answered() && t.Call().Upstream().Context().Err() != nil {
		r.Answer = false
	}
	if o := t.Call().Options; o != nil && o.Classify != nil && r.Err != nil {
		if outcome, ok := o.Classify(r.Err); ok {
			r.Outcome = outcome
		}
	}
	return r
}

// waitsForReady reads grpc.WaitForReady.
func waitsForReady(opts []grpc.CallOption) (waits bool) {
	for _, o := range opts {
		if f, ok := o.(grpc.FailFastCallOption); ok {
			waits = !f.FailFast
		}
	}
	return waits
}

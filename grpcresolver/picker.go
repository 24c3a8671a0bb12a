package grpcresolver

import (
	"errors"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/onehop-go/onehop/internal/engine"
	"github.com/onehop-go/onehop/internal/health"
)

var errNoEndpoints = errors.New("the service has no endpoint to call")

// picker picks among the endpoints that have a ready connection; where nobody has one and nobody will soon, it fails
// with what the connections met. Immutable but for its cache.
type picker struct {
	up      *engine.Upstream
	ready   map[*health.Endpoint]balancer.Picker
	refused map[*health.Endpoint]error // in place of ready where all connections fail
	list    []*health.Endpoint         // the keys of either
	cache   atomic.Pointer[narrowed]
}

// narrowed is the upstream's view of the picker's endpoints, good until the upstream publishes another.
type narrowed struct{ base, view *health.View }

// view is the part of the upstream's view that can be picked here. What left the upstream is left out at once, before
// grpc-go has heard of it.
func (p *picker) view() *health.View {
	base := p.up.Set().View()
	if n := p.cache.Load(); n != nil && n.base == base {
		return n.view
	}
	current := make(map[*health.Endpoint]bool, len(base.All))
	for _, e := range base.All {
		current[e] = true
	}
	kept := make([]*health.Endpoint, 0, len(p.list))
	for _, e := range p.list {
		if current[e] {
			kept = append(kept, e)
		}
	}
	view := p.up.Set().Narrow(kept)
	p.cache.Store(&narrowed{base, view})
	return view
}

// nobody is the error of a pick without candidates: wait for the next picker, or nothing will come.
func (p *picker) nobody() error {
	if len(p.up.Set().View().All) == 0 {
		return errNoEndpoints
	}
	for _, err := range p.refused {
		return err
	}
	return balancer.ErrNoSubConnAvailable
}

// Pick implements balancer.Picker.
func (p *picker) Pick(info balancer.PickInfo) (balancer.PickResult, error) {
	t := tryOf(info.Ctx)
	switch {
	case p.refused != nil && t != nil:
		return balancer.PickResult{}, t.pickRefused(p)
	case p.refused != nil:
		return balancer.PickResult{}, p.nobody()
	case t != nil:
		return t.pick(p, info)
	}
	return p.pickAlone(info)
}

// pickAlone serves calls without the interceptors, the scheme-only mode: each attempt stands for itself. Of the call it
// knows what its context does: the key of the ring.
func (p *picker) pickAlone(info balancer.PickInfo) (balancer.PickResult, error) {
	set, start := p.up.Set(), health.Now()
	var call engine.Call
	mark(info.Ctx, &call, p.up)
	e, _ := set.Pick(start, p.view(), health.Want{Hash: call.Hash(), Place: set.Place()})
	if e == nil {
		return balancer.PickResult{}, p.nobody()
	}
	result, err := p.ready[e].Pick(info)
	if err != nil {
		return result, err
	}
	e.Begin(false)
	unary := methodOf(info.FullMethodName)
	result.Done = func(d balancer.DoneInfo) {
		e.End(false)
		if d.BytesSent {
			hearLoad(set, e, d.Trailer)
			set.Report(e, alone(d, start, health.Now(), set.Service(), unary.known && !unary.streams))
		}
	}
	return result, nil
}

// alone is the report of an attempt of which nothing is known but its end. Only a unary call's time is a latency.
func alone(d balancer.DoneInfo, start, now, usual time.Duration, unary bool) health.Report {
	r := health.Report{Start: start, Now: now, Unsampled: !unary}
	code := status.Code(d.Err)
	switch {
	case code == codes.DeadlineExceeded && !d.BytesReceived:
		r.Outcome = health.Ignored
		if now-start >= max(time.Second, 10*usual) {
			r.Outcome, r.Timeout = health.Failed, true
		}
	case code == codes.Canceled && !d.BytesReceived:
		r.Outcome, r.Raise = health.Ignored, unary
	default:
		r.Outcome = classify(facts{err: d.Err, picked: true, sent: true, info: d}).Outcome
	}
	return r
}

// failing is a picker that ends every call, those that wait for ready included: a status error drops them.
type failing struct{ err error }

// Pick implements balancer.Picker.
func (f failing) Pick(balancer.PickInfo) (balancer.PickResult, error) {
	return balancer.PickResult{}, status.Error(codes.Unavailable, f.err.Error())
}

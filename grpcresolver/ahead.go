package grpcresolver

import "context"

// start tells the observer that the attempt is about to be sent. grpc-go asks its Picker only later, when the context that
// travels is fixed; so where somebody listens and connections are ready the attempt is picked for now, and the observer
// hears where it goes. The Picker keeps to that, unless the connection has gone meanwhile.
func (t *try) start(ctx context.Context, found *lookup) context.Context {
	if found.up.Observed() {
		if p := found.ready.Load(); p != nil && t.ledger.wire.Load() < t.ledger.most && t.Pick(p.view()) {
			t.ahead.Store(true)
		}
	}
	return t.Begun(ctx)
}

// tookAhead says whether the endpoint stands that was picked ahead, for this one time.
func (t *try) tookAhead() bool {
	return t.ahead.Load() && t.ahead.Swap(false)
}

// choose picks an endpoint of p, or keeps the one that was picked ahead.
func (t *try) choose(p *picker) bool {
	ahead := t.tookAhead()
	if ahead && p.ready[t.Endpoint()] != nil {
		return true
	}
	if t.Pick(p.view()) {
		return true
	}
	if ahead {
		t.Unpick()
	}
	return false
}

// forgo takes back what was picked ahead where the Picker was never asked: no attempt was made.
func (t *try) forgo() {
	if t.tookAhead() {
		t.Unpick()
	}
}

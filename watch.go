package onehop

import (
	"context"
	"hash/maphash"
	"slices"
	"sync"
	"time"

	"github.com/onehop-go/onehop/internal/consulapi"
	"github.com/onehop-go/onehop/internal/engine"
	"github.com/onehop-go/onehop/internal/health"
	"github.com/onehop-go/onehop/policy"
	"github.com/onehop-go/onehop/resolver"
)

// watched is an upstream with the watchers that feed it: one for its policy, and one for its endpoints in each
// datacenter. They publish; nothing on a call's way waits for them.
type watched struct {
	client *Client
	target resolver.Target
	live   *engine.Upstream
	said   throttle

	mu     sync.Mutex    // below
	places []*datacenter // the own, then those to fail over to
	subset int
	timer  *time.Timer // of held endpoints
}

// watch begins the watchers of t. Under Client.mu.
func (c *Client) watch(t resolver.Target) *watched {
	w := &watched{client: c, target: t, subset: policy.Default().LoadBalancing.Subset}
	w.live = engine.NewUpstream(t, engine.Env{
		Go: c.spawn, Context: c.ctx, Hooks: c.hooks, Told: w.told, Refused: w.refused, ResolveNow: w.resolveNow, Mode: c.mode, Zone: c.ownZone,
		Injection: c.injection(t.Service), HashField: c.hashField,
	})
	w.mu.Lock() // a watch may publish at once
	w.places = []*datacenter{w.begin(t)}
	w.mu.Unlock()
	c.wg.Go(func() {
		c.policies.Watch(c.ctx, t.Service, w.configured)
		<-c.ctx.Done()
		w.stop()
	})
	return w
}

// begin watches the endpoints of t, which is the target or its like in another datacenter.
func (w *watched) begin(t resolver.Target) *datacenter {
	ctx, cancel := context.WithCancel(w.client.ctx)
	d := &datacenter{target: t, cancel: cancel, asked: make(chan struct{}, 1)}
	ctx = resolver.WithResolveNow(ctx, d.asked)
	w.client.wg.Go(func() {
		w.client.resolver.Watch(ctx, t, func(s resolver.Snapshot, err error) { w.resolved(d, s, err) }) //nolint:contextcheck // a log line has no deadline
	})
	return d
}

// stop ends the timer and lets go of every connection.
func (w *watched) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timer != nil {
		w.timer.Stop()
	}
	for _, d := range w.places {
		d.cancel()
	}
	w.live.Update(errClosed.Error())
}

// resolved takes what discovery published for a datacenter.
func (w *watched) resolved(d *datacenter, snap resolver.Snapshot, err error) {
	switch {
	case err != nil:
		if d.target == w.target {
			w.live.Unresolved(err, consulapi.IsDenied(err))
		}
		w.said.warn(w.client.logger, "onehop: discovery failed; the last known endpoints stay, if there are any", "target", d.target.String(), "error", err)
	default:
		if snap.At.IsZero() {
			snap.At = time.Now()
		}
		w.apply(func(now time.Time) bool { d.take(now, snap); return true })
		w.client.locate(snap)
	}
	tellResolved(w.client.ctx, w.client.observers, d.target, snap, err)
}

// resolveNow asks discovery to read anew.
func (w *watched) resolveNow() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, d := range w.places {
		d.ask()
	}
}

// refused tells membership of a refused connection: a held endpoint leaves at its first.
func (w *watched) refused(e *health.Endpoint) {
	w.apply(func(now time.Time) bool { return w.any(func(d *datacenter) bool { return d.refused(now, e) }) })
}

// any does f for every datacenter, and says whether one said yes. Under mu.
func (w *watched) any(f func(*datacenter) bool) bool {
	yes := false
	for _, d := range w.places {
		yes = f(d) || yes
	}
	return yes
}

// apply changes the membership, puts the outcome in force and tells of those who are held from now on.
func (w *watched) apply(change func(now time.Time) bool) {
	for _, e := range w.change(change) {
		w.said.warn(w.client.logger, "onehop: most instances vanished at once; the lost are still called while they answer",
			"target", w.target.String(), "endpoint", e.Addr)
		tellDecided(w.client.ctx, w.client.observers, Decision{Target: w.target, Endpoint: e, Action: "hold", Applied: true})
	}
}

func (w *watched) change(change func(now time.Time) bool) (held []resolver.Endpoint) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.client.ctx.Err() != nil {
		return nil
	}
	if change(time.Now()) && w.places[0].known {
		tiers := make([]health.Tier, len(w.places))
		for i, d := range w.places {
			tiers[i] = d.tier(w.client.seed, w.subset)
			held = append(held, d.newlyHeld()...)
		}
		w.live.Update(w.places[0].empty, tiers...)
	}
	w.schedule()
	return held
}

// schedule sets the timer for the next held endpoint whose time is up. Under mu.
func (w *watched) schedule() {
	if w.timer != nil {
		w.timer.Stop()
		w.timer = nil
	}
	var first time.Time
	for _, d := range w.places {
		if at, ok := d.members.Next(); ok && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	if !first.IsZero() {
		w.timer = time.AfterFunc(time.Until(first), w.tick)
	}
}

func (w *watched) tick() {
	w.apply(func(now time.Time) bool { return w.any(func(d *datacenter) bool { return d.members.Tick(now) }) })
}

// configured takes what the policy source published.
func (w *watched) configured(r policy.Revision, err error) {
	log := w.client.logger
	if err != nil {
		w.live.Unconfigured()
		w.said.warn(log, "onehop: policy not applied; the last good one, or the default, stays", "service", w.target.Service, "error", err)
	} else {
		w.apply(func(time.Time) bool {
			changed := w.subset != r.Policy.LoadBalancing.Subset
			w.subset = r.Policy.LoadBalancing.Subset
			return w.failOver(r.Policy.Failover.Datacenters) || changed
		})
		w.live.Configure(r.Policy) // after the endpoints: first calls wait for it
		for _, p := range r.Warnings {
			w.said.warn(log, "onehop: policy", "service", w.target.Service, "origin", r.Origin, "warning", p.Error())
		}
	}
	tellConfigured(w.client.ctx, w.client.observers, w.target.Service, r, err)
}

// failOver watches the datacenters that the policy names, and no others; it says whether that changed. Under mu.
func (w *watched) failOver(names []string) bool {
	own := w.places[0]
	next, changed := []*datacenter{own}, false
	for _, name := range names {
		t := w.target
		t.Datacenter = name
		if name == own.name() {
			continue
		}
		i := slices.IndexFunc(w.places, func(d *datacenter) bool { return d.target == t })
		if i < 0 {
			next, changed = append(next, w.begin(t)), true
		} else {
			next = append(next, w.places[i])
		}
	}
	for _, d := range w.places {
		if !slices.Contains(next, d) {
			d.cancel()
			changed = true
		}
	}
	w.places = next
	return changed
}

var actions = map[health.Change]string{health.Opened: "open", health.Closed: "close", health.Drained: "drain"}

// told passes on what health did to an endpoint.
func (w *watched) told(e *health.Endpoint, c health.Change) {
	if c == health.Opened {
		w.said.warn(w.client.logger, "onehop: endpoint avoided: its breaker opened", "target", w.target.String(), "endpoint", e.Addr())
	}
	applied := c == health.Drained || w.live.Policy().Mode == policy.Enforce
	tellDecided(w.client.ctx, w.client.observers, Decision{Target: w.target, Endpoint: *e.Info(), Action: actions[c], Applied: applied})
}

// newSeed differs between clients, so that their subsets do.
func newSeed() uint64 { return maphash.Bytes(maphash.MakeSeed(), nil) }

package onehop

import (
	"context"
	"fmt"
	"hash/maphash"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/onehop-go/onehop/internal/balance"
	"github.com/onehop-go/onehop/internal/consulapi"
	"github.com/onehop-go/onehop/internal/engine"
	"github.com/onehop-go/onehop/internal/health"
	"github.com/onehop-go/onehop/internal/membership"
	"github.com/onehop-go/onehop/policy"
	"github.com/onehop-go/onehop/resolver"
)

// Upstream is one called service as this process sees it: endpoints, health, budget, policy. A handle, cheap to get.
type Upstream struct {
	target resolver.Target
	live   *engine.Upstream
	err    error // why there is none
}

// Target is what is called.
func (u *Upstream) Target() resolver.Target { return u.target }

// Upstream returns the upstream of a target in resolver.ParseTarget's grammar, never nil: a wrong name makes each call
// fail with ReasonInvalid. Its discovery begins now.
func (c *Client) Upstream(target string) *Upstream {
	t, err := resolver.ParseTarget(target)
	if err != nil {
		return &Upstream{err: &Error{Reason: ReasonInvalid, Err: err}}
	}
	return c.UpstreamTarget(t)
}

// UpstreamTarget is Upstream for a Target made in code: names with dots or underscores, filters, peers.
func (c *Client) UpstreamTarget(t resolver.Target) *Upstream {
	live, err := c.upstream(t)
	return &Upstream{target: t, live: live, err: err}
}

// upstream finds or begins the upstream of t.
func (c *Client) upstream(t resolver.Target) (*engine.Upstream, error) {
	if c == nil {
		return nil, &Error{Reason: ReasonInvalid, Target: t, Err: errNilClient}
	}
	c.mu.Lock()
	w := c.upstreams[t]
	closed := c.closed
	if w == nil && !closed && t.Service != "" {
		w = c.watch(t)
		c.upstreams[t] = w
	}
	c.mu.Unlock()
	switch {
	case closed:
		return nil, &Error{Reason: ReasonClosed, Target: t, Err: errClosed}
	case w == nil:
		return nil, &Error{Reason: ReasonInvalid, Target: t, Err: errNoService}
	}
	return w.live, nil
}

// watched is an upstream with the two watchers that feed it. The watchers publish; nothing on a call's way waits for
// them.
type watched struct {
	client *Client
	target resolver.Target
	live   *engine.Upstream
	said   throttle

	mu      sync.Mutex // below
	members membership.Set
	subset  int
	empty   string // why the set is empty
	timer   *time.Timer
}

// watch begins the watchers of t. Under Client.mu.
func (c *Client) watch(t resolver.Target) *watched {
	w := &watched{client: c, target: t, subset: policy.Default().LoadBalancing.Subset}
	w.live = engine.NewUpstream(t, engine.Env{
		Go: c.spawn, Context: c.ctx, Hooks: c.hooks, Told: w.told, Refused: w.refused, Mode: c.mode,
	})
	c.wg.Go(func() {
		c.resolver.Watch(c.ctx, t, w.resolved)
		<-c.ctx.Done()
		w.stop()
	})
	c.wg.Go(func() { c.policies.Watch(c.ctx, t.Service, w.configured) })
	return w
}

// stop ends the timer of held endpoints and lets go of every connection.
func (w *watched) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timer != nil {
		w.timer.Stop()
	}
	w.live.Update(errClosed.Error())
}

// resolved takes what discovery published.
func (w *watched) resolved(snap resolver.Snapshot, err error) {
	if err != nil {
		denied := consulapi.IsDenied(err)
		w.live.Unresolved(err, denied)
		w.said.log(w.client.logger, "onehop: discovery failed; the last known endpoints stay", "target", w.target.String(), "error", err)
	} else {
		if snap.At.IsZero() {
			snap.At = time.Now()
		}
		w.apply(func(now time.Time) bool {
			w.empty = whyEmpty(w.target, snap)
			w.members.Apply(now, snap)
			return true
		})
	}
	tellResolved(w.client.ctx, w.client.observers, w.target, snap, err)
}

// refused tells membership of a refused connection: a held endpoint leaves at its first.
func (w *watched) refused(e *health.Endpoint) {
	w.apply(func(now time.Time) bool { return w.members.Refused(now, membership.KeyOf(*e.Info())) })
}

// apply changes the membership and puts the outcome in force.
func (w *watched) apply(change func(now time.Time) bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.client.ctx.Err() != nil {
		return
	}
	if change(time.Now()) {
		w.live.Update(w.empty, health.Tier{Members: w.chosen()})
	}
	if w.timer != nil {
		w.timer.Stop()
	}
	if at, ok := w.members.Next(); ok {
		w.timer = time.AfterFunc(time.Until(at), func() { w.apply(w.members.Tick) })
	}
}

// chosen is this client's subset of the members. Under mu.
func (w *watched) chosen() []resolver.Endpoint {
	members := w.members.Members()
	keys := make([]string, len(members))
	for i, m := range members {
		keys[i] = m.Addr + " " + m.ID
	}
	chosen := balance.Subset(keys, w.client.seed, w.subset)
	endpoints := make([]resolver.Endpoint, len(chosen))
	for i, j := range chosen {
		endpoints[i] = members[j].Endpoint
	}
	return endpoints
}

// configured takes what the policy source published.
func (w *watched) configured(r policy.Revision, err error) {
	log := w.client.logger
	if err != nil {
		w.live.Unconfigured()
		w.said.log(log, "onehop: policy not applied; the last good one stays", "service", w.target.Service, "error", err)
	} else {
		w.live.Configure(r.Policy)
		for _, p := range r.Warnings {
			log.Warn("onehop: policy", "service", w.target.Service, "origin", r.Origin, "warning", p.Error())
		}
		w.apply(func(time.Time) bool {
			changed := w.subset != r.Policy.LoadBalancing.Subset
			w.subset = r.Policy.LoadBalancing.Subset
			return changed
		})
	}
	tellConfigured(w.client.ctx, w.client.observers, w.target.Service, r, err)
}

// told passes on what health did to an endpoint.
func (w *watched) told(e *health.Endpoint, c health.Change) {
	action := map[health.Change]string{health.Opened: "open", health.Closed: "close", health.Drained: "drain"}[c]
	if c == health.Opened {
		w.said.log(w.client.logger, "onehop: endpoint avoided: its breaker opened", "target", w.target.String(), "endpoint", e.Addr())
	}
	if h := w.client.hooks; h != nil && h.Decided != nil {
		h.Decided(w.client.ctx, engine.Decision{Target: w.target, Endpoint: e, Action: action, Applied: true})
	}
}

// whyEmpty says why nobody can be called, for the error of a call that finds nobody.
func whyEmpty(t resolver.Target, s resolver.Snapshot) string {
	if len(s.Endpoints) == 0 {
		return fmt.Sprintf("%s lists no instance of %s: check the name, the tag and the datacenter", s.Origin, t)
	}
	var states []string
	for _, e := range s.Endpoints {
		states = append(states, string(e.Status))
	}
	slices.Sort(states)
	return fmt.Sprintf("%s lists %d instances of %s, none of them passing: they are %s",
		s.Origin, len(s.Endpoints), t, strings.Join(slices.Compact(states), ", "))
}

// newSeed differs between clients, so that their subsets do.
func newSeed() uint64 { return maphash.Bytes(maphash.MakeSeed(), nil) }

// throttle keeps log storms away: a line with the same words at most every 10 s.
type throttle struct {
	mu   sync.Mutex
	last map[string]time.Time
}

const quiet = 10 * time.Second

func (t *throttle) log(l interface {
	WarnContext(context.Context, string, ...any)
}, msg string, args ...any) {
	key := msg + fmt.Sprint(args...)
	now := time.Now()
	t.mu.Lock()
	if at, ok := t.last[key]; ok && now.Sub(at) < quiet {
		t.mu.Unlock()
		return
	}
	if t.last == nil || len(t.last) > 1000 { // forgetting costs a line, not memory
		t.last = map[string]time.Time{}
	}
	t.last[key] = now
	t.mu.Unlock()
	l.WarnContext(context.Background(), msg, args...)
}

package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/onehop-go/onehop/internal/health"
	"github.com/onehop-go/onehop/internal/overload"
	"github.com/onehop-go/onehop/policy"
	"github.com/onehop-go/onehop/resolver"
)

// FirstWait is how long the calls of a new upstream wait for its first snapshot and policy.
const FirstWait = 3 * time.Second

// Env is what an Upstream needs of its owner.
type Env struct {
	Go         func(f func(context.Context)) bool        // runs f in the background until the owner closes; false: it has
	Context    context.Context                           // ends when the owner closes
	Hooks      *Hooks                                    // nil: nobody listens
	Told       func(e *health.Endpoint, c health.Change) // hears what health did
	Refused    func(e *health.Endpoint)                  // hears refused connections
	ResolveNow func()                                    // asks discovery to read anew; nil: it cannot be asked
	Zone       func() string                             // the caller's own, "": not known; Located tells of a change. nil: never known
	Mode       func(fromPolicy policy.Mode) policy.Mode  // ONEHOP_MODE; nil: the policy's own
	Injection  *Injection                                // nil: none
	HashField  string                                    // header or metadata field with the key of ring_hash; "": none
}

// Upstream is one called service as this process sees it. Calls of every protocol share it, and so its health, budget
// and brake. Safe for concurrent use.
type Upstream struct {
	target resolver.Target
	env    Env
	hooks  *Hooks
	set    *health.Set
	plan   atomic.Pointer[plan]
	budget budget
	hedges hedges
	brake  overload.Brake                    // of the own datacenter
	far    atomic.Pointer[[]*overload.Brake] // of the others
	born   time.Duration

	ready  atomic.Bool // first snapshot and first word on policy have come
	readyC chan struct{}

	steering sync.Mutex // one at a time tells the set what to obey

	mu         sync.Mutex
	resolved   bool
	configured bool
	unresolved error // why there is no snapshot yet
	denied     bool
	empty      string // why the set is empty, for people
	routes     map[string]*stats
}

// NewUpstream returns an upstream without endpoints that obeys policy.Default until Configure.
func NewUpstream(target resolver.Target, env Env) *Upstream {
	u := &Upstream{target: target, env: env, hooks: env.Hooks, born: health.Now(), readyC: make(chan struct{}), routes: map[string]*stats{}}
	p := policy.Default()
	u.set = health.NewSet(health.Env{
		Go: env.Go, Braking: func(place int) bool { return u.brakeOf(place).On() }, Told: env.Told, Refused: env.Refused,
	}, u.settingsOf(p))
	u.plan.Store(newPlan(p, u.statsOf))
	return u
}

// Target is what is called.
func (u *Upstream) Target() resolver.Target { return u.target }

// Set is the upstream's endpoints.
func (u *Upstream) Set() *health.Set { return u.set }

// Policy is the one in force.
func (u *Upstream) Policy() policy.Policy { return u.plan.Load().policy }

// Timed says whether the policy sets a time for any of its calls.
func (u *Upstream) Timed() bool { return u.plan.Load().timed }

// ConnectTimeout bounds a dial and its TLS handshake.
func (u *Upstream) ConnectTimeout() time.Duration { return u.plan.Load().policy.ConnectTimeout }

// HashField is the header or metadata field that carries the key of ring_hash, where the code gives none; "": none.
func (u *Upstream) HashField() string { return u.env.HashField }

// Closed is closed when the upstream's owner closes: every wait selects on it.
func (u *Upstream) Closed() <-chan struct{} { return u.env.Context.Done() }

// Context ends when the upstream's owner closes.
func (u *Upstream) Context() context.Context { return u.env.Context }

// Go runs f in the background; its context ends, and Close waits for it. false: the owner has closed.
func (u *Upstream) Go(f func(context.Context)) bool { return u.env.Go(f) }

func (u *Upstream) settingsOf(p policy.Policy) health.Settings {
	s := health.Settings{CircuitBreaker: p.CircuitBreaker, LoadBalancing: p.LoadBalancing, Apply: p.Mode == policy.Enforce}
	if u.env.Zone != nil {
		s.Zone = u.env.Zone()
	}
	return s
}

// steer makes health and balancing obey the policy in force and the zone as it is known.
func (u *Upstream) steer() {
	u.steering.Lock()
	defer u.steering.Unlock()
	u.set.Configure(u.settingsOf(u.Policy()))
}

// ResolveNow asks discovery to read anew; it does so within its own pacing.
func (u *Upstream) ResolveNow() {
	if u.env.ResolveNow != nil {
		u.env.ResolveNow()
	}
}

// Located says that Env.Zone answers something new.
func (u *Upstream) Located() { u.steer() }

// brakeOf is the brake of a datacenter, the own (0) or one to fail over to: one that is overloaded says nothing of another.
func (u *Upstream) brakeOf(place int) *overload.Brake {
	if place == 0 {
		return &u.brake
	}
	if far := u.far.Load(); far != nil && place <= len(*far) {
		return (*far)[place-1]
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	var far []*overload.Brake
	if old := u.far.Load(); old != nil {
		far = slices.Clone(*old)
	}
	for len(far) < place {
		far = append(far, &overload.Brake{})
	}
	u.far.Store(&far)
	return far[place-1]
}

// Configure puts a policy in force for the calls that begin from now on. Health, budget and brake keep their state.
func (u *Upstream) Configure(p policy.Policy) {
	if u.env.Mode != nil {
		p.Mode = u.env.Mode(p.Mode)
	}
	u.mu.Lock()
	u.plan.Store(newPlan(p, u.statsOf))
	u.mu.Unlock()
	u.steer()
	u.progress(func() { u.configured = true })
}

// Unconfigured says that no policy could be read: the one in force stays, and calls wait for it no longer.
func (u *Upstream) Unconfigured() { u.progress(func() { u.configured = true }) }

// Update puts the endpoints of the own datacenter, and of those to fail over to, in force. why explains an empty set.
func (u *Upstream) Update(why string, tiers ...health.Tier) {
	u.set.Update(health.Now(), tiers...)
	u.progress(func() { u.resolved, u.empty = true, why })
}

// Unresolved says that discovery failed. The endpoints in force stay.
func (u *Upstream) Unresolved(err error, denied bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.unresolved, u.denied = err, denied
}

// progress notes an event and lets the waiting calls go once both firsts have come.
func (u *Upstream) progress(note func()) {
	u.mu.Lock()
	defer u.mu.Unlock()
	note()
	if u.resolved && u.configured && !u.ready.Load() {
		u.ready.Store(true)
		close(u.readyC)
	}
}

// statsOf finds a route's statistics by name. Under mu, or before the upstream is shared.
func (u *Upstream) statsOf(route string) *stats {
	s := u.routes[route]
	if s == nil {
		s = &stats{}
		u.routes[route] = s
	}
	return s
}

// Await waits until the first snapshot and policy have come: until ctx ends, and in the first FirstWait of the
// upstream's life. A *Failure says why they have not.
func (u *Upstream) Await(ctx context.Context) error {
	if f := u.await(ctx, u.born+FirstWait); f != nil {
		return f
	}
	return nil
}

// AwaitReady is Await without an end of its own.
func (u *Upstream) AwaitReady(ctx context.Context) error {
	if f := u.await(ctx, 0); f != nil {
		return f
	}
	return nil
}

func (u *Upstream) await(ctx context.Context, until time.Duration) *Failure {
	if u.ready.Load() {
		return nil
	}
	var timeUp <-chan time.Time
	if until != 0 {
		t := time.NewTimer(max(0, until-health.Now()))
		defer t.Stop()
		timeUp = t.C
	}
	select {
	case <-u.readyC:
		return nil
	case <-u.env.Context.Done():
		return u.failure(Closed, nil)
	case <-ctx.Done():
		return u.unready(ctx.Err())
	case <-timeUp:
		return u.unready(nil)
	}
}

var errSilent = errors.New("discovery has not answered yet")

// unready is the failure of a call that found nothing to go by. A policy that does not come stops nobody.
func (u *Upstream) unready(ended error) *Failure {
	u.mu.Lock()
	resolved, err, denied := u.resolved, u.unresolved, u.denied
	u.mu.Unlock()
	if resolved && ended == nil {
		return nil
	}
	f := u.failure(Unresolved, err)
	switch {
	case resolved:
		f.Reason, f.Err = reasonOf(ended), ended
	case denied:
		f.Reason = Denied
	case err == nil:
		f.Err = errSilent
	}
	if ended != nil && !resolved {
		f.Err = fmt.Errorf("%w; %w", ended, f.Err)
		if errors.Is(ended, context.Canceled) {
			f.Reason = Canceled
		}
	}
	return f
}

func (u *Upstream) failure(r Reason, err error) *Failure {
	return &Failure{Reason: r, Target: u.target, Err: err}
}

// NoEndpoints is why a call that finds the set empty fails.
func (u *Upstream) NoEndpoints() (Reason, error) {
	u.ResolveNow()
	u.mu.Lock()
	defer u.mu.Unlock()
	return NoEndpoints, errors.New(u.empty)
}

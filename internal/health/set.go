package health

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/onehop-go/onehop/internal/balance"
	"github.com/onehop-go/onehop/policy"
	"github.com/onehop-go/onehop/resolver"
)

// Change is what a Set did to one of its endpoints.
type Change uint8

// The changes that are told.
const (
	Opened  Change = iota // the breaker opened: avoided from now on
	Closed                // re-admitted
	Drained               // removed: no new attempts, running ones finish
)

// Settings are the parts of a policy that health and balancing obey. Immutable once set.
type Settings struct {
	CircuitBreaker policy.CircuitBreaker
	LoadBalancing  policy.LoadBalancing
	Zone           string // the caller's own; "": unknown, and no zone is preferred
	// Apply false: breakers are computed and told, and picks do not obey them (modes observe and bypass).
	Apply bool
}

// Env is what a Set needs of its owner. Every field may be nil.
type Env struct {
	// Go runs f in the background until the owner closes; false: it has. nil: no background dials, so no hard trip.
	Go func(f func(context.Context)) bool
	// Braking says whether the upstream as a whole is overloaded in a datacenter: then no endpoint of it is to blame.
	Braking func(place int) bool
	// Told hears each change, without locks held.
	Told func(e *Endpoint, c Change)
	// Refused hears each refused connection: a held endpoint leaves at its first.
	Refused func(e *Endpoint)
}

// Set is the endpoints of one upstream. Safe for concurrent use.
type Set struct {
	env      Env
	settings atomic.Pointer[Settings]
	view     atomic.Pointer[View]
	service  Mean         // seconds; of all endpoints
	stalled  atomic.Int64 // instant until which we ourselves were late
	due      atomic.Int64 // the earliest instant at which a pick has something to start in the background; or never
	reweigh  atomic.Int64 // when what endpoints report of their load changes weights; or never
	dueCall  atomic.Int64 // the earliest instant at which a call may be a probe; or never
	picks    atomic.Int64 // since the last probe by a call, counted while one is due
	turn     atomic.Uint64

	mu     sync.Mutex // writers of the view and of open endpoints
	known  map[key]*Endpoint
	round  uint64 // of the last snapshot
	regain int64  // when a datacenter regains a part of its share; or never
	tiers  []tier

	watchers map[chan<- struct{}]struct{}
}

// key is an endpoint's identity: two datacenters may use the same addresses and names.
type key struct {
	addr, id string
	tier     int
}

// tier is what the set knows of one datacenter.
type tier struct {
	missing int  // weight of listed instances that cannot be used
	seen    bool // it has had an instance
	recovery
}

// Tier is the endpoints of one datacenter: the own, or one to fail over to.
type Tier struct {
	Members []resolver.Endpoint
	Missing int // weight of its instances that are listed and cannot be used: critical
}

const never = int64(1<<63 - 1)

// NewSet returns an empty set.
func NewSet(env Env, settings Settings) *Set {
	s := &Set{env: env, known: map[key]*Endpoint{}}
	s.settings.Store(&settings)
	s.view.Store(&View{settings: &settings, shares: []float64{1}})
	s.due.Store(never)
	s.reweigh.Store(never)
	s.dueCall.Store(never)
	s.regain = never
	s.picks.Store(probeShare)
	return s
}

// Configure sets new thresholds; all state stays.
func (s *Set) Configure(settings Settings) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settings.Store(&settings)
	s.publish()
}

// View is the set as it stands.
func (s *Set) View() *View { return s.view.Load() }

// Service is what an answer of the service usually takes; 0 before the first.
func (s *Set) Service() time.Duration {
	return time.Duration(s.service.Read() * float64(time.Second))
}

func (s *Set) braking(e *Endpoint) bool { return s.env.Braking != nil && s.env.Braking(e.tier) }

// Update makes the set hold exactly the members of tiers: the own datacenter, then those to fail over to in their order.
// What stays keeps its state. An endpoint whose start changed is another incarnation and begins anew.
func (s *Set) Update(now time.Duration, tiers ...Tier) {
	s.mu.Lock()
	all, gone, again := s.reconcile(now, tiers)
	s.publishAll(all, ringOver(all))
	s.mu.Unlock()
	for _, e := range gone {
		e.drain()
		s.tell(e, Drained)
	}
	for _, e := range again {
		s.tell(e, Closed)
	}
}

// reconcile finds or makes the endpoints of a snapshot. All that stay are found by their place: snapshots keep their
// order but for what comes and goes, and comparing is cheaper than looking up. again are new incarnations of endpoints
// that were avoided.
func (s *Set) reconcile(now time.Duration, tiers []Tier) (all, gone, again []*Endpoint) {
	since := now
	if len(s.known) == 0 { // all are new: a slow start of all would be a start of none
		since = 0
	}
	before := s.view.Load().All
	s.round++
	all = make([]*Endpoint, 0, len(before)+1)
	place := 0
	for n, t := range tiers {
		if n == len(s.tiers) {
			s.tiers = append(s.tiers, tier{recovery: recovery{health: 1}})
		}
		s.tiers[n].missing = t.Missing
		for i := range t.Members {
			k := key{t.Members[i].Addr, t.Members[i].ID, n}
			e := s.find(k, before, &place)
			if e != nil && e.round == s.round {
				continue // listed twice
			}
			all = append(all, s.admit(k, e, &t.Members[i], since))
		}
	}
	s.tiers = s.tiers[:len(tiers)]
	for _, e := range before {
		if e.round == s.round {
			continue
		}
		switch k := e.key(); {
		case s.known[k] == e:
			delete(s.known, k)
		case !e.Available():
			again = append(again, s.known[k])
		}
		gone = append(gone, e)
	}
	return all, gone, again
}

// find returns the endpoint of that identity, nil: there is none. place is where it is expected among those before.
func (s *Set) find(k key, before []*Endpoint, place *int) *Endpoint {
	for i := *place; i < min(*place+2, len(before)); i++ { // the one before it may have left
		if e := before[i]; e.key() == k {
			*place = i + 1
			return e
		}
	}
	return s.known[k]
}

// admit takes e, if it is the same incarnation, or a new endpoint into the round.
func (s *Set) admit(k key, e *Endpoint, m *resolver.Endpoint, since time.Duration) *Endpoint {
	if e == nil || reborn(e.Info(), m) {
		e = newEndpoint(m, slowFrom(m, since))
		e.tier = k.tier
		s.known[k] = e
	} else {
		e.describe(m)
	}
	e.round = s.round
	return e
}

// slowFrom is when the slow start of an endpoint begins that was first seen at since: at its own start where it says so,
// for one that has long been running elsewhere is warm. A start that stands for the catalogue's index says nothing.
func slowFrom(m *resolver.Endpoint, since time.Duration) time.Duration {
	if since == 0 || m.Started.Year() < clocked {
		return since
	}
	return max(1, since-max(0, Time(since).Sub(m.Started)))
}

const clocked = 2000 // the first year that a clock of an instance may show

func reborn(before, after *resolver.Endpoint) bool {
	return !before.Started.IsZero() && !after.Started.IsZero() && !before.Started.Equal(after.Started)
}

// publish computes the view and the next probe from the states. Under mu.
func (s *Set) publish() {
	v := s.view.Load()
	s.publishAll(v.All, v.ring)
}

func (s *Set) publishAll(all []*Endpoint, ring func() *balance.Ring) {
	s.replace(all, ring)
	s.notify()
}

// replace is publishAll for what watchers need not hear of.
func (s *Set) replace(all []*Endpoint, ring func() *balance.Ring) {
	var shares []float64
	shares, s.regain = s.share(all)
	s.weigh(all)
	s.view.Store(newView(all, s.settings.Load(), shares, ring))
	s.schedule()
}

// schedule computes when time itself brings something about: what a pick starts in the background, and what waits for a
// call that may be a probe. It is all that changes while an endpoint stays avoided. Under mu.
func (s *Set) schedule() {
	v := s.view.Load()
	if len(v.Available) == 0 {
		s.hasten(v.open)
	}
	due, dueCall := min(s.regain, s.reweigh.Load()), never
	for _, e := range v.open {
		if at := e.retryAt.Load(); e.state.Load() == probing || s.dials(e) {
			due = min(due, at)
		} else {
			dueCall = min(dueCall, at)
		}
	}
	s.due.Store(due)
	s.dueCall.Store(dueCall)
}

// dials says whether a dial of our own probes e. Under mu.
func (s *Set) dials(e *Endpoint) bool { return e.redial != nil && s.env.Go != nil }

// share is how the calls are spread over the datacenters, and when that changes by itself. Under mu.
func (s *Set) share(all []*Endpoint) (shares []float64, due int64) {
	if len(s.tiers) < 2 {
		return []float64{1}, never
	}
	now, due := Now(), never
	healths := make([]float64, len(s.tiers))
	for n := range s.tiers {
		t := &s.tiers[n]
		measured, listed := measure(all, n, t.missing)
		if t.seen = t.seen || listed; !t.seen {
			continue // its list has not come yet: nobody there to call, and nothing for it to recover from
		}
		due = min(due, t.step(now, measured))
		healths[n] = t.health
	}
	if !s.settings.Load().Apply {
		return append([]float64{1}, make([]float64, len(s.tiers)-1)...), due
	}
	return sharesOf(healths), due
}

// hasten brings the probes near when nothing is available: every call is at risk anyway.
func (s *Set) hasten(all []*Endpoint) {
	soon := int64(Now() + jitter(time.Second))
	for _, e := range all {
		if e.state.Load() == open && e.retryAt.Load() > soon {
			e.retryAt.Store(soon)
		}
	}
}

// jitter keeps the callers of one endpoint from probing it in step.
func jitter(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (0.8 + 0.4*rand.Float64()))
}

func (s *Set) tell(e *Endpoint, c Change) {
	if s.env.Told != nil {
		s.env.Told(e, c)
	}
}

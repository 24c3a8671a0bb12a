// Package membership decides which of a service's listed instances are used. Discovery is a hint: an instance that
// vanishes in a rolling deploy is gone, one that vanishes together with most others is more likely a fault of the
// catalogue. So as long as at least half of the last settled set passes, a snapshot is applied as it is. Below that its
// passing instances are applied at once as well, but the lost ones are held: still used, until their first refused
// connection proves them dead, until they have been gone from the catalogue for 30 seconds, or until half of the set
// passes again. The logic is pure: snapshots, refusals and the time go in, the set to use comes out.
package membership

import (
	"maps"
	"slices"
	"sort"
	"time"

	"github.com/onehop-go/onehop/resolver"
)

// GoneFor is how long an instance is held that the catalogue no longer lists.
const GoneFor = 30 * time.Second

// Key is the identity of an endpoint across snapshots.
type Key struct{ Addr, ID string }

// KeyOf is the identity of e.
func KeyOf(e resolver.Endpoint) Key { return Key{Addr: e.Addr, ID: e.ID} }

// Member is an endpoint to use.
type Member struct {
	resolver.Endpoint
	Held bool // no longer listed as passing; a refused connection is to be told to Set.Refused
}

// Set is the instances of one service. The zero value is empty and ready. Not for concurrent use.
type Set struct {
	settled int // size of the last set in which nothing was held
	passing map[Key]resolver.Endpoint
	held    map[Key]held
	members []Member // what Members returns
	lasting map[Key]lasting
}

// lasting is an instance that vanished from the catalogue, answered all the same, and was listed again: an agent that
// restarts registers its instances anew. It is the same process, whatever start the new entry has.
type lasting struct{ listed, began time.Time }

// held is an endpoint that passed and is not listed as passing any more.
type held struct {
	resolver.Endpoint
	leaves time.Time // zero: still listed, critical, and held while it answers
}

// Apply takes a full snapshot and reports whether Members changed.
func (s *Set) Apply(now time.Time, snap resolver.Snapshot) (changed bool) {
	listed, passing := split(snap.Endpoints)
	s.recognise(passing)
	if 2*len(passing) >= s.settled {
		s.passing, s.held = passing, nil
	} else {
		s.held = s.hold(now, listed, passing)
		s.passing = passing
	}
	s.expire(now)
	return s.update()
}

// recognise gives the instances that were held while they were not listed their own start back. One that says itself
// when it started is believed.
func (s *Set) recognise(passing map[Key]resolver.Endpoint) {
	for key, e := range passing {
		if h, ok := s.held[key]; ok && !h.leaves.IsZero() && e.Meta[resolver.StartedMeta] == "" {
			if s.lasting == nil {
				s.lasting = map[Key]lasting{}
			}
			s.lasting[key] = lasting{listed: e.Started, began: h.Started}
		}
		l, ok := s.lasting[key]
		switch {
		case !ok:
		case e.Started.Equal(l.listed):
			e.Started = l.began
			passing[key] = e
		default:
			delete(s.lasting, key)
		}
	}
	maps.DeleteFunc(s.lasting, func(k Key, _ lasting) bool {
		_, listed := passing[k]
		return !listed
	})
}

// hold is who of the present members is not passing any more and stays for now. An instance in maintenance does not: an
// operator took it out.
func (s *Set) hold(now time.Time, listed, passing map[Key]resolver.Endpoint) map[Key]held {
	lost := make(map[Key]held, len(s.members))
	for _, m := range s.members {
		key := KeyOf(m.Endpoint)
		if _, ok := passing[key]; ok {
			continue
		}
		h := held{Endpoint: m.Endpoint}
		e, ok := listed[key]
		switch {
		case ok && e.Status == resolver.Maintenance:
			continue
		case ok:
			h.Endpoint = e
		case s.held[key].leaves.IsZero():
			h.leaves = now.Add(GoneFor)
		default:
			h.leaves = s.held[key].leaves
		}
		lost[key] = h
	}
	return lost
}

// Refused tells that a connection to an endpoint was refused: a held one leaves for good. It reports whether Members
// changed.
func (s *Set) Refused(now time.Time, id Key) (changed bool) {
	if _, ok := s.held[id]; !ok {
		return false
	}
	delete(s.held, id)
	s.expire(now)
	return s.update()
}

// Tick lets those leave whose time is over and reports whether Members changed.
func (s *Set) Tick(now time.Time) (changed bool) {
	s.expire(now)
	return s.update()
}

// Next is when Tick is due; false: not before the next Apply.
func (s *Set) Next() (at time.Time, ok bool) {
	for _, h := range s.held {
		if !h.leaves.IsZero() && (!ok || h.leaves.Before(at)) {
			at, ok = h.leaves, true
		}
	}
	return at, ok
}

// Members is the set to use, ordered by address. It is never written to again.
func (s *Set) Members() []Member { return s.members }

// expire removes the held whose time is over; with nobody held the set has settled.
func (s *Set) expire(now time.Time) {
	maps.DeleteFunc(s.held, func(_ Key, h held) bool { return !h.leaves.IsZero() && !now.Before(h.leaves) })
	if len(s.held) == 0 {
		s.settled = len(s.passing)
	}
}

func (s *Set) update() (changed bool) {
	members := make([]Member, 0, len(s.passing)+len(s.held))
	for _, e := range s.passing {
		members = append(members, Member{Endpoint: e})
	}
	for _, h := range s.held {
		members = append(members, Member{Endpoint: h.Endpoint, Held: true})
	}
	sort.Slice(members, func(i, j int) bool {
		a, b := &members[i], &members[j]
		return a.Addr < b.Addr || (a.Addr == b.Addr && a.ID < b.ID)
	})
	if slices.EqualFunc(s.members, members, equal) {
		return false
	}
	s.members = members
	return true
}

// split sorts out a snapshot. Of two entries with one identity the passing one counts, else the first.
func split(endpoints []resolver.Endpoint) (listed, passing map[Key]resolver.Endpoint) {
	listed = make(map[Key]resolver.Endpoint, len(endpoints))
	passing = make(map[Key]resolver.Endpoint, len(endpoints))
	for _, e := range endpoints {
		key := KeyOf(e)
		if _, ok := listed[key]; !ok {
			listed[key] = e
		}
		if _, ok := passing[key]; !ok && passes(e.Status) {
			passing[key] = e
		}
	}
	return listed, passing
}

func passes(s resolver.Status) bool {
	return s == "" || s == resolver.Passing || s == resolver.Warning
}

func equal(a, b Member) bool {
	return a.Held == b.Held && a.Endpoint.Equal(b.Endpoint)
}

package onehop

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/onehop-go/onehop/internal/balance"
	"github.com/onehop-go/onehop/internal/health"
	"github.com/onehop-go/onehop/internal/membership"
	"github.com/onehop-go/onehop/resolver"
)

// datacenter is the endpoints of an upstream in one datacenter, as discovery and refused connections left them.
type datacenter struct {
	target   resolver.Target
	cancel   context.CancelFunc // ends its watch
	asked    chan struct{}      // a value asks it to read anew
	known    bool               // a snapshot has come
	members  membership.Set
	critical int    // weight of those listed and not passing
	empty    string // why there is nobody, for people
	seen     string // the datacenter its endpoints name
	held     map[membership.Key]bool
}

// take applies a snapshot.
func (d *datacenter) take(now time.Time, s resolver.Snapshot) {
	d.known = true
	d.members.Apply(now, s)
	d.empty = whyEmpty(d.target, s)
	d.critical = 0
	for _, e := range s.Endpoints {
		d.seen = e.Datacenter
		if e.Status == resolver.Critical {
			d.critical += max(1, e.Weight)
		}
	}
}

// name is what the datacenter is called; "": nobody has said.
func (d *datacenter) name() string {
	if d.target.Datacenter != "" {
		return d.target.Datacenter
	}
	return d.seen
}

// ask wants its watch to read anew, where it only polls.
func (d *datacenter) ask() {
	select {
	case d.asked <- struct{}{}:
	default: // it has been asked
	}
}

// refused is the word of a refused connection. Who refuses may have moved.
func (d *datacenter) refused(now time.Time, e *health.Endpoint) bool {
	d.ask()
	return d.members.Refused(now, membership.KeyOf(*e.Info()))
}

// newlyHeld is who is held since the last call of it: lost by discovery, and called until proven dead.
func (d *datacenter) newlyHeld() (lost []resolver.Endpoint) {
	held := map[membership.Key]bool{}
	for _, m := range d.members.Members() {
		if !m.Held {
			continue
		}
		k := membership.KeyOf(m.Endpoint)
		held[k] = true
		if !d.held[k] {
			lost = append(lost, m.Endpoint)
		}
	}
	d.held = held
	return lost
}

// tier is the members of this client's subset.
func (d *datacenter) tier(seed uint64, subset int) health.Tier {
	members := d.members.Members()
	keys := make([]string, len(members))
	held := 0
	for i, m := range members {
		keys[i] = m.Addr + " " + m.ID
		if m.Held && m.Status == resolver.Critical {
			held += max(1, m.Weight)
		}
	}
	t := health.Tier{Missing: d.critical - held} // the held are called, and count as well until they refuse
	for _, i := range balance.Subset(keys, seed, subset) {
		t.Members = append(t.Members, members[i].Endpoint)
	}
	return t
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

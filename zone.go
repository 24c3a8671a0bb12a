package onehop

import (
	"context"
	"slices"
	"sync/atomic"

	"github.com/onehop-go/onehop/internal/consulapi"
	"github.com/onehop-go/onehop/resolver"
)

// home is where the agent says that this process runs. The zero value has not asked.
type home struct {
	asked atomic.Bool
	zone  atomic.Pointer[string] // nil: no answer yet
}

// ownZone is the zone this process runs in: the code's or the environment's word, else the agent's; "": not known.
func (c *Client) ownZone() string {
	if c.zone != "" {
		return c.zone
	}
	if z := c.home.zone.Load(); z != nil {
		return *z
	}
	return ""
}

// locate asks the agent for the zone, in the background and once for all upstreams, when the first endpoints are listed
// that have one: who has no zones asks nothing.
func (c *Client) locate(s resolver.Snapshot) {
	if c.zone != "" || !c.asksConsul || c.home.asked.Load() || !slices.ContainsFunc(s.Endpoints, hasZone) {
		return
	}
	if c.home.asked.CompareAndSwap(false, true) {
		c.spawn(c.askZone)
	}
}

func hasZone(e resolver.Endpoint) bool { return e.Zone != "" }

func (c *Client) askZone(ctx context.Context) {
	agent, err := consulapi.Acquire(c.agent)
	if err != nil {
		return // discovery and policies say so
	}
	defer agent.Release()
	var said throttle
	zone := agent.FindZone(ctx, func(err error) { //nolint:contextcheck // a log line has no deadline
		said.warn(c.logger, "onehop: the zone of this process is not known: set ONEHOP_ZONE, or let the token read the agent", "error", err)
	})
	if zone == "" {
		return
	}
	c.home.zone.Store(&zone)
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, w := range c.upstreams {
		w.live.Located()
	}
}

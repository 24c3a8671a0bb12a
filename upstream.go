package onehop

import (
	"github.com/onehop-go/onehop/internal/engine"
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

package consulapi

import (
	"context"
	"net/netip"
	"time"

	"github.com/hashicorp/consul/api"
)

// denialRest is the pause after the agent refused to say: rights come late, or never.
const denialRest = 10 * time.Minute

// self is the part of /v1/agent/self that says where the agent stands.
type self struct {
	Config      struct{ Server bool }
	DebugConfig struct{ Locality *Locality } // of Consul from 1.17 on; nil: not configured
	Meta        map[string]string            // of the node
}

// FindZone asks the agent for the zone of its node until it has answered, and returns that; "": the answer names none, or
// ctx ended. failed hears each read that did not succeed. The token needs agent:read.
//
// A server that is asked from afar, as programs without an agent of their own do, says nothing of where the caller
// runs: its answer counts as none.
func (c *Client) FindZone(ctx context.Context, failed func(error)) (zone string) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	c.Watch(ctx, func(ctx context.Context, t *Turn) error {
		var s self
		_, err := t.Poll(ctx, "the agent's own node", Stale, func(q *api.QueryOptions) error {
			_, err := c.api.Raw().Query("/v1/agent/self", &s, q)
			return err
		})
		if k := KindOf(err); k == Denied || k == Refused {
			t.Rest(denialRest, 0, nil)
		}
		if err != nil {
			return err
		}
		if !s.Config.Server || c.settings.near() {
			zone = s.zone()
		}
		stop()
		return nil
	}, failed)
	return zone
}

// zone is the registered locality's, else that of the node's metadata: as instances' zones are named.
func (s *self) zone() string {
	if l := s.DebugConfig.Locality; l != nil && *l != (Locality{}) {
		return l.Zone
	}
	return s.Meta["zone"]
}

// near says that the agent runs on the caller's machine.
func (a address) near() bool {
	if a.network == "unix" || a.host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(a.host)
	return err == nil && ip.IsLoopback()
}

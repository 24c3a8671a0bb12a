package onehop

import (
	"log/slog"

	"github.com/onehop-go/onehop/consul"
	"github.com/onehop-go/onehop/internal/bridge"
	"github.com/onehop-go/onehop/internal/engine"
	"github.com/onehop-go/onehop/resolver"
)

// The wrappers get an *onehop.Client from the user and the engine from here; see package bridge.
func init() {
	bridge.Upstream = func(hop any, t resolver.Target) (*engine.Upstream, error) { return client(hop).upstream(t) }
	bridge.Error = publicError //nolint:reassign // what a bridge is for
	bridge.OnClose = func(hop any, f func()) func() {
		if c := client(hop); c != nil {
			return c.onClose(f)
		}
		return func() {}
	}
	bridge.Logger = func(hop any) *slog.Logger {
		if c := client(hop); c != nil {
			return c.logger
		}
		return slog.Default()
	}
	bridge.Agent = func(hop any) consul.Agent {
		if c := client(hop); c != nil {
			return c.agent
		}
		return consul.Agent{}
	}
}

func client(hop any) *Client {
	c, _ := hop.(*Client)
	return c
}

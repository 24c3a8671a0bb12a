// Package bridge is how the protocol wrappers reach the engine inside an *onehop.Client without anything of it in the
// public face: function variables that package onehop sets in its init, as grpc-go's internal package does.
package bridge

import (
	"log/slog"

	"github.com/onehop-go/onehop/consul"
	"github.com/onehop-go/onehop/internal/engine"
	"github.com/onehop-go/onehop/resolver"
)

// The hop of each function is an *onehop.Client; nil is allowed.
var (
	// Upstream returns the upstream of a target. The error is an *onehop.Error: a nil Client, a closed one, a name that
	// cannot be one.
	Upstream func(hop any, t resolver.Target) (*engine.Upstream, error)
	// Error turns an *engine.Failure into the *onehop.Error that callers know; other errors stay.
	Error func(err error) error
	// OnClose runs f once when the Client closes, at once where it has; it returns what takes f back.
	OnClose func(hop any, f func()) (stop func())
	// Logger is the Client's.
	Logger func(hop any) *slog.Logger
	// Agent is the Consul agent the Client was made with, before the environment fills in what is empty.
	Agent func(hop any) consul.Agent
)

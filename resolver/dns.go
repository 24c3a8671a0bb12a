package resolver

import (
	"context"
	"time"
)

// DNS asks for SRV records, over TCP first.
type DNS struct {
	Server string        // "127.0.0.1:8600" when ""
	Domain string        // "consul" when ""
	Port   int           // not 0: ask A and AAAA and use this port
	MinTTL time.Duration // 0: 1s; a floor under the answers' TTL
}

// Watch implements [Resolver].
func (DNS) Watch(context.Context, Target, func(Snapshot, error)) { panic("todo") }

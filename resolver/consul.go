package resolver

import (
	"context"

	"github.com/onehop-go/onehop/consul"
)

// Consistency of a Consul read.
type Consistency string

// The consistencies of a read, see https://developer.hashicorp.com/consul/api-docs/features/consistency.
const (
	Stale      Consistency = "stale" // the default: any server answers
	Consistent Consistency = "consistent"
	Cached     Consistency = "cached" // the agent's cache
)

// Consul reads the health API by blocking queries. The zero value takes everything from the environment.
type Consul struct {
	Agent         consul.Agent
	Consistency   Consistency // "": Stale
	TaggedAddress string      // such as "wan" or "lan_ipv6"; "": the service's address, else the node's
}

// Watch implements [Resolver].
func (Consul) Watch(context.Context, Target, func(Snapshot, error)) { panic("todo") }

package resolver

import (
	"context"
	"maps"
	"slices"
	"time"
)

// Status is Consul's verdict over all checks of an instance and its node.
type Status string

// The states of an instance. The zero value "" counts as [Passing].
const (
	Passing     Status = "passing"
	Warning     Status = "warning" // called, with its warning weight
	Critical    Status = "critical"
	Maintenance Status = "maintenance"
)

// Endpoint is one instance of a service. Slices and maps are shared: never write to them.
type Endpoint struct {
	Addr       string            // "host:port", an IPv6 host in brackets; required
	Alternates []string          // further addresses of the same instance, as Addr, in the order to try them when Addr does not answer; nil: none
	ID         string            // with Addr the identity across snapshots: node + service id; "" for Addr alone
	Node       string            // node of the catalogue; "" unknown
	Datacenter string            // "" unknown
	Region     string            // "" unknown
	Zone       string            // "" unknown
	Weight     int               // relative share of calls; 0 means 1
	Status     Status            // "" means Passing
	Started    time.Time         // start of this incarnation; zero: unknown. Another value under the same identity is a rebirth
	Tags       []string          // as registered
	Meta       map[string]string // as registered with the service
}

// Equal reports whether e and other say the same.
func (e Endpoint) Equal(other Endpoint) bool {
	return e.Addr == other.Addr && e.ID == other.ID && e.Node == other.Node && e.Datacenter == other.Datacenter &&
		e.Region == other.Region && e.Zone == other.Zone && e.Weight == other.Weight && e.Status == other.Status &&
		e.Started.Equal(other.Started) && slices.Equal(e.Alternates, other.Alternates) && slices.Equal(e.Tags, other.Tags) && maps.Equal(e.Meta, other.Meta)
}

// Snapshot is the full set, listed and passing or not; immutable once published.
type Snapshot struct {
	Endpoints []Endpoint
	Origin    string    // "consul", "dns", "static", "disk", ...: for people
	At        time.Time // when the source said so; zero: now
}

// Resolver supplies snapshots.
type Resolver interface {
	// Watch blocks until ctx ends or, for a fixed set, until nothing more will come, and publishes each full snapshot
	// from one goroutine. A non-nil error reports a failed read: the snapshot beside it is ignored, the last one stays,
	// and Watch goes on, pacing itself. Called once per Target in use.
	Watch(ctx context.Context, t Target, publish func(Snapshot, error))
}

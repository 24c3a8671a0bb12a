package resolver

import (
	"context"
	"github.com/onehop-go/onehop/consul"
	"time"
)

// Package resolver finds the instances of a service.

// Target names what is called. Comparable: equal Targets share one upstream, one watch.
type Target struct {
	Service    string // catalogue name, or the prepared query's when Query
	Tag        string // "" any
	Datacenter string // "" the agent's own
	Peer       string // cluster peer; "" none
	Filter     string // Consul filter expression; "" none
	Query      bool   // Service is a prepared query (polled, never blocking)
}

// "payments", "v2.payments.service.dc2.consul", "pay.query.consul", "consul:///payments?tag=v2&dc=dc2"
func ParseTarget(s string) (Target, error) { panic("todo") }

// the default rule for which hosts are services; false: localhost, IP, with a port, foreign domain
func ParseHost(host string) (Target, bool) { panic("todo") }

// the consul:/// form; ParseTarget reads it back
func (t Target) String() string { panic("todo") }

// Status is Consul's verdict over all checks of an instance and its node.
type Status string

const (
	Passing     Status = "passing" // the zero "" counts as passing
	Warning     Status = "warning" // called, with its warning weight
	Critical    Status = "critical"
	Maintenance Status = "maintenance"
)

// Endpoint is one address of a service. Slices and maps are shared: never write to them.
type Endpoint struct {
	Addr       string // "host:port"; required
	ID         string // identity across snapshots with Addr: node + service id; "" for Addr alone
	Node       string
	Datacenter string
	Region     string
	Zone       string
	Weight     int       // 0: 1
	Status     Status    // "": Passing
	Started    time.Time // start of this incarnation; zero: unknown
	Tags       []string
	Meta       map[string]string
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

// Static is a fixed set by service name: {"payments": {"127.0.0.1:8080"}}. Tag, Datacenter and Filter are ignored.
type Static map[string][]string

// Consistency of a Consul read.
type Consistency string

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

// DNS asks for SRV records, over TCP first.
type DNS struct {
	Server string        // "127.0.0.1:8600" when ""
	Domain string        // "consul" when ""
	Port   int           // not 0: ask A and AAAA and use this port
	MinTTL time.Duration // 0: 1s; a floor under the answers' TTL
}

func (Static) Watch(context.Context, Target, func(Snapshot, error)) { panic("todo") }
func (Consul) Watch(context.Context, Target, func(Snapshot, error)) { panic("todo") }
func (DNS) Watch(context.Context, Target, func(Snapshot, error))    { panic("todo") }

// r, with the last good of each Target kept in dir (0600) and served until r first publishes
func DiskCache(r Resolver, dir string) Resolver { panic("todo") }

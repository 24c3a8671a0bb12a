package resolver

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/onehop-go/onehop/consul"
	"github.com/onehop-go/onehop/internal/consulapi"
)

// Consistency of a Consul read.
type Consistency string

// The consistencies of a read, see https://developer.hashicorp.com/consul/api-docs/features/consistency.
const (
	Stale      Consistency = "stale"      // the default: any server answers, also while there is no leader
	Consistent Consistency = "consistent" // the leader answers after asking the other servers
	Cached     Consistency = "cached"     // the agent's cache
)

// Consul reads the health API by blocking queries: all instances with all their checks, passing or not. The zero value
// takes everything from the environment. Watches of equal Agents share one client with bounded connections.
//
// Prepared queries cannot block: they are executed anew when their TTL is over, sooner where [ResolveNow] wants it, and in
// either case not before five seconds have passed.
type Consul struct {
	Agent         consul.Agent
	Consistency   Consistency // "": Stale. Reads that confirm an empty or shrunken list are always consistent
	TaggedAddress string      // such as "wan" or "lan_ipv6"; "", or not registered: the service's address, else the node's

	// AllowLinkLocal accepts instances at link-local addresses and at those of clouds' metadata services. false: a list
	// with one is refused whole.
	AllowLinkLocal bool
}

// Watch implements [Resolver]. It publishes at each answer of Consul, changed or not, so that the age of a snapshot is
// known; an unchanged list has the same Endpoints slice. A list that is empty or has lost more than half is published
// only after a consistent read agreed that lacks no rights; one with an impossible instance is refused whole. Wrong
// settings or a wrong target are published once as an error, and Watch returns.
func (c Consul) Watch(ctx context.Context, t Target, publish func(Snapshot, error)) {
	query, err := c.query(t)
	if err != nil {
		publish(Snapshot{}, err)
		return
	}
	query.Asked = ResolveNow(ctx)
	client, err := consulapi.Acquire(c.Agent)
	if err != nil {
		publish(Snapshot{}, err)
		return
	}
	defer client.Release()
	var last []Endpoint
	client.WatchService(ctx, query,
		func(entries []*consulapi.ServiceEntry, at time.Time) error {
			endpoints, err := c.endpoints(entries)
			if err != nil {
				return err
			}
			if last == nil || !slices.EqualFunc(last, endpoints, Endpoint.Equal) {
				last = endpoints
			}
			publish(Snapshot{Endpoints: last, Origin: "consul", At: at}, nil)
			return nil
		},
		func(err error) { publish(Snapshot{}, err) })
}

// source tells the cache which catalogue this is.
func (c Consul) source() string {
	return "consul " + consulapi.Where(c.Agent) + " " + c.TaggedAddress
}

// allows is the rule for addresses, for the cache.
func (c Consul) allows(endpoints []Endpoint) error {
	return checkAddresses(endpoints, c.AllowLinkLocal)
}

func (c Consul) query(t Target) (consulapi.ServiceQuery, error) {
	q := consulapi.ServiceQuery{
		Service: t.Service, Tag: t.Tag, Datacenter: t.Datacenter, Peer: t.Peer, Filter: t.Filter, Prepared: t.Query,
	}
	if err := t.validate(); err != nil {
		return q, fmt.Errorf("target %s: %w", t, err)
	}
	switch c.Consistency {
	case "", Stale:
		q.Mode = consulapi.Stale
	case Consistent:
		q.Mode = consulapi.Consistent
	case Cached:
		q.Mode = consulapi.Cached
	default:
		return q, fmt.Errorf("consistency %q; want %s, %s or %s", c.Consistency, Stale, Consistent, Cached)
	}
	return q, nil
}

// endpoints refuses the list whole if one instance is impossible: an answer that is wrong in one place is not trusted in
// the others.
func (c Consul) endpoints(entries []*consulapi.ServiceEntry) ([]Endpoint, error) {
	endpoints := make([]Endpoint, 0, len(entries))
	var problems []error
	for i, entry := range entries {
		e, err := endpointOf(entry, c.TaggedAddress)
		if err == nil {
			err = checkAddress(e.Addr, c.AllowLinkLocal)
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("instance %d of %d: %w", i+1, len(entries), err))
			if len(problems) == maxProblems {
				break
			}
			continue
		}
		endpoints = append(endpoints, e)
	}
	inOrder(endpoints)
	return endpoints, errors.Join(problems...)
}

// maxProblems bounds the text of an error about a list that is wrong all over.
const maxProblems = 5

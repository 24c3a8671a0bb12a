package consulapi

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/consul/api"
)

// ServiceEntry is an instance with its node and all checks, as Consul's health API has it.
type ServiceEntry = api.ServiceEntry

// ServiceQuery says which instances to read.
type ServiceQuery struct {
	Service    string // of the catalogue; of a prepared query with Prepared
	Tag        string // "" any
	Datacenter string // "" the agent's settings'
	Peer       string // "" none
	Filter     string // "" none
	Prepared   bool   // polled, never blocking
	Mode       Mode   // of the watch's own reads; confirming ones are consistent

	Asked <-chan struct{} // a value asks for the next poll before its time; nil: none will
}

const (
	// recheckAfter is when a list that lost more than half is read again.
	recheckAfter = 2 * time.Second
	// minPoll is the pause between two executions of a prepared query, which never blocks.
	minPoll = 5 * time.Second
)

// WatchService blocks until ctx ends and tells each believed list of instances, with the time at which it was true, from
// one goroutine. An error of take means that the list is malformed: like a failed read it is told to failed, and what
// was believed before stays.
//
// An empty list, or one that lost more than half, is believed only when a plain, consistent read agrees that lacks no
// part for want of rights. Consul says so in a header, but never to a streaming query
// (https://developer.hashicorp.com/consul/docs/agent/config/config-files#use_streaming_backend) and never to the
// anonymous token, whose rights are therefore probed.
func (c *Client) WatchService(ctx context.Context, q ServiceQuery, take func([]*ServiceEntry, time.Time) error, failed func(error)) {
	w := &serviceWatch{client: c, query: q, subject: "service " + q.Service, take: take}
	if q.Prepared {
		w.subject = "prepared query " + q.Service
	}
	c.Watch(ctx, w.turn, failed)
}

type serviceWatch struct {
	client  *Client
	query   ServiceQuery
	subject string
	take    func([]*ServiceEntry, time.Time) error

	believed map[identity]bool // nil: nothing yet
	recheck  bool              // the last believed list had lost more than half
}

type identity struct{ node, id string }

// answer is one read of the list.
type answer struct {
	entries []*ServiceEntry
	service string        // that the rights are about
	ttl     time.Duration // of a prepared query
}

func (w *serviceWatch) turn(ctx context.Context, t *Turn) error {
	var got answer
	read := func(q *api.QueryOptions) (err error) {
		got, err = w.read(q)
		return err
	}
	if w.recheck {
		t.LimitWait(recheckAfter)
	}
	mode := w.query.Mode
	meta, err := w.next(ctx, t, mode, read)
	if err != nil {
		return err
	}
	doubtful := w.doubtful(got.entries, meta)
	if doubtful || w.recheck {
		if meta, err = t.Confirm(ctx, w.subject, read); err != nil {
			return err
		}
		doubtful = w.doubtful(got.entries, meta)
		if doubtful {
			if err := w.proveRights(ctx, t, got, meta); err != nil {
				return err
			}
		}
	}
	if meta.Filtered && w.lost(got.entries) > 0 {
		return w.client.classify(DeniedError(errFiltered), 0, w.subject)
	}
	if err := w.take(got.entries, time.Now().Add(-meta.Age)); err != nil {
		return w.client.classify(MalformedError(err), 0, w.subject)
	}
	w.recheck = doubtful && w.believed != nil && !w.recheck && w.lost(got.entries) > 0
	w.believed = identities(got.entries)
	if w.query.Prepared {
		t.Rest(minPoll, got.ttl, w.query.Asked)
	}
	return nil
}

func (w *serviceWatch) next(ctx context.Context, t *Turn, mode Mode, read Request) (Meta, error) {
	if w.query.Prepared {
		return t.Poll(ctx, w.subject, mode, read)
	}
	return t.Next(ctx, w.subject, mode, read)
}

// doubtful lists are empty, where that is news or a plain answer, or lost more than half.
func (w *serviceWatch) doubtful(entries []*ServiceEntry, meta Meta) bool {
	if len(entries) == 0 {
		return meta.Plain || len(w.believed) > 0
	}
	return 2*len(entries) < len(w.believed)
}

// lost counts the believed instances that entries lack.
func (w *serviceWatch) lost(entries []*ServiceEntry) int {
	lost, now := 0, identities(entries)
	for id := range w.believed {
		if !now[id] {
			lost++
		}
	}
	return lost
}

// identities skips what take will refuse.
func identities(entries []*ServiceEntry) map[identity]bool {
	ids := make(map[identity]bool, len(entries))
	for _, e := range entries {
		if e != nil && e.Node != nil && e.Service != nil {
			ids[identity{e.Node.Node, e.Service.ID}] = true
		}
	}
	return ids
}

var (
	errFiltered  = errors.New("parts of the answer were left out for lack of rights; service:read and node:read are needed")
	errAnonymous = errors.New("no instance is shown without a token; service:read and node:read are needed")
)

// proveRights fails unless a doubtful list is known not to come from a lack of rights.
func (w *serviceWatch) proveRights(ctx context.Context, t *Turn, got answer, meta Meta) error {
	c := w.client
	if meta.Filtered {
		return c.classify(DeniedError(errFiltered), 0, w.subject)
	}
	if c.hasToken() || !meta.DefaultDeny || w.query.Peer != "" || got.service == "" {
		return nil
	}
	_, err := t.Confirm(ctx, w.subject, func(q *api.QueryOptions) error {
		w.options(q)
		var chain struct{} // only whether it may be read counts; api.DiscoveryChain brings the types of all it may hold
		_, err := c.api.Raw().Query("/v1/discovery-chain/"+got.service, &chain, q)
		return err
	})
	if IsDenied(err) {
		return c.classify(DeniedError(errAnonymous), 0, w.subject)
	}
	return err
}

func (w *serviceWatch) options(q *api.QueryOptions) {
	if w.query.Datacenter != "" {
		q.Datacenter = w.query.Datacenter
	}
	if w.query.Peer != "" {
		q.Datacenter, q.Peer = "", w.query.Peer
	}
}

// read makes one request for the list.
func (w *serviceWatch) read(q *api.QueryOptions) (answer, error) {
	w.options(q)
	if w.query.Prepared {
		return w.execute(q)
	}
	q.Filter = w.query.Filter
	entries, _, err := w.client.api.Health().Service(w.query.Service, w.query.Tag, false, q)
	if err == nil && entries == nil {
		err = MalformedError(errors.New("null instead of a list"))
	}
	return answer{entries: entries, service: w.query.Service}, err
}

// execute runs the prepared query.
func (w *serviceWatch) execute(q *api.QueryOptions) (answer, error) {
	result, _, err := w.client.api.PreparedQuery().Execute(w.query.Service, q)
	if err != nil {
		return answer{}, err
	}
	if result == nil || result.Service == "" { // nil: the answer was null
		return answer{}, MalformedError(errors.New("the answer names no service"))
	}
	got := answer{service: result.Service, entries: make([]*ServiceEntry, len(result.Nodes))}
	for i := range result.Nodes {
		got.entries[i] = &result.Nodes[i]
	}
	if result.DNS.TTL != "" {
		if got.ttl, err = time.ParseDuration(result.DNS.TTL); err != nil {
			return answer{}, MalformedError(fmt.Errorf("DNS.TTL: %w", err))
		}
	}
	return got, nil
}

func (c *Client) hasToken() bool { return c.settings.token != "" || c.settings.tokenFile != "" }

// Locality is where an instance or a node stands.
type Locality = api.Locality

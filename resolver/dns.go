package resolver

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/onehop-go/onehop/internal/consulapi"
)

// DNS asks for SRV records (RFC 2782), over TCP first: Consul trims the answers it gives over UDP without saying so. The
// zero value asks the agent of this machine.
type DNS struct {
	Server string        // "127.0.0.1:8600" when ""
	Domain string        // "consul" when ""
	Port   int           // not 0: ask A and AAAA and use this port
	MinTTL time.Duration // 0: 1s; a floor under the answers' TTL

	AllowLinkLocal bool // as in [Consul]
}

const (
	defaultDNSServer = "127.0.0.1:8600"
	minQueryInterval = time.Second     // between two queries of one watch in the long run
	maxTTL           = 5 * time.Minute // a full read at least so often, whatever the records say
)

// Watch implements [Resolver]. It asks again when the records' TTL is over, at least every five minutes, sooner where
// [ResolveNow] wants it and MinTTL is over, and publishes each answer. An endpoint leaves after 30 seconds and three
// answers without it. NXDOMAIN is an empty answer; a refusal, SERVFAIL and silence are errors and change nothing. Without
// Port it asks for the name as in [ParseTarget] and, where that has nothing, for its form after RFC 2782
// ("_payments._tcp.service.consul"). DNS knows no filters. Wrong settings or a wrong target are published once as an
// error, and Watch returns.
func (d DNS) Watch(ctx context.Context, t Target, publish func(Snapshot, error)) {
	// Half of a query's time, so that there is some left for the other network.
	d.watch(ctx, t, publish, (&net.Dialer{Timeout: dnsTimeout / 2}).DialContext)
}

func (d DNS) watch(ctx context.Context, t Target, publish func(Snapshot, error), dial dialFunc) {
	w := dnsWatch{dial: dial, server: d.Server, zone: d.zone(), port: d.Port, minTTL: max(d.MinTTL, minQueryInterval)}
	if w.server == "" {
		w.server = defaultDNSServer
	}
	if err := d.check(t, &w); err != nil {
		publish(Snapshot{}, err)
		return
	}
	var memory dnsMemory
	failures := 0
	for ctx.Err() == nil {
		w.queries = 0
		found, ttl, err := w.lookup(ctx)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			err = d.allows(found)
		}
		least := max(w.minTTL, time.Duration(w.queries)*minQueryInterval)
		rest := min(ttl, maxTTL)
		if err != nil {
			failures++
			publish(Snapshot{}, fmt.Errorf("dns server %s: %w", w.server, err))
			least, rest = max(least, consulapi.Backoff(failures, consulapi.MaxBackoff, rand.Float64())), 0
		} else {
			failures = 0
			now := time.Now()
			publish(Snapshot{Endpoints: memory.apply(now, found), Origin: "dns", At: now}, nil)
		}
		jitter := 1 + rand.Float64()/10
		_ = consulapi.Rest(ctx, stretched(least, jitter), stretched(rest, jitter), ResolveNow(ctx)) // the loop asks ctx itself
	}
}

func stretched(d time.Duration, by float64) time.Duration { return time.Duration(float64(d) * by) }

func (d DNS) zone() string {
	domain := strings.ToLower(strings.Trim(d.Domain, "."))
	if domain == "" {
		domain = "consul"
	}
	return domain + "."
}

// source tells the cache which server this is.
func (d DNS) source() string { return fmt.Sprintf("dns %s %s %d", d.Server, d.zone(), d.Port) }

// allows is the rule for addresses, of the cache too.
func (d DNS) allows(endpoints []Endpoint) error { return checkAddresses(endpoints, d.AllowLinkLocal) }

// check refuses what cannot be asked and fills the names to ask for.
func (d DNS) check(t Target, w *dnsWatch) error {
	if err := t.validate(); err != nil {
		return fmt.Errorf("target %s: %w", t, err)
	}
	if t.Filter != "" {
		return fmt.Errorf("target %s: DNS knows no filters", t)
	}
	if err := checkHostPort(w.server); err != nil {
		return fmt.Errorf("dns server: %w", err)
	}
	if d.Port < 0 || d.Port > 65535 {
		return fmt.Errorf("dns port %d; want 0 (ask SRV) to 65535", d.Port)
	}
	names, err := dnsNames(t, w.zone)
	if err != nil {
		return fmt.Errorf("target %s: %w", t, err)
	}
	w.names = names
	if d.Port != 0 {
		w.names = names[:1]
	}
	return nil
}

// dnsLabel is what Consul's DNS answers for; underscores are no host names, but Consul serves them.
var dnsLabel = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_-]{0,62}$`)

// dnsNames are the forms of a target's name, see
// https://developer.hashicorp.com/consul/docs/services/discovery/dns-static-lookups.
func dnsNames(t Target, zone string) ([]dnsmessage.Name, error) {
	kind, place := "service", ""
	if t.Query {
		kind = "query"
	}
	for _, part := range []string{t.Service, t.Tag, t.Datacenter, t.Peer} {
		if part != "" && !dnsLabel.MatchString(part) {
			return nil, fmt.Errorf("%q is no name in DNS; use the health API", part)
		}
	}
	switch {
	case t.Peer != "":
		place = "." + t.Peer + ".peer"
	case t.Datacenter != "":
		place = "." + t.Datacenter
	}
	plain := t.Service
	if t.Tag != "" {
		plain = t.Tag + "." + t.Service
	}
	forms := []string{plain + "." + kind + place + "." + zone}
	if !t.Query && t.Peer == "" {
		tag := t.Tag
		if tag == "" {
			tag = "tcp"
		}
		forms = append(forms, "_"+t.Service+"._"+tag+"."+kind+place+"."+zone)
	}
	var names []dnsmessage.Name
	for _, form := range forms {
		name, err := dnsmessage.NewName(form)
		if err != nil {
			return nil, errors.New("its name in DNS is too long")
		}
		names = append(names, name)
	}
	return names, nil
}

// dnsMemory lets an endpoint go only after some answers and some time without it. Pure. The zero value remembers nothing.
type dnsMemory struct {
	known map[string]dnsKnown // by address
	last  []Endpoint
}

type dnsKnown struct {
	Endpoint
	misses int       // answers without it, in a row
	since  time.Time // the first of them
}

const (
	dnsMisses  = 3
	dnsGoneFor = 30 * time.Second
)

// apply takes what an answer holds and gives the set to publish, the same slice as long as nothing changes.
func (m *dnsMemory) apply(now time.Time, found []Endpoint) []Endpoint {
	known := make(map[string]dnsKnown, len(found))
	for _, e := range found {
		known[e.Addr] = dnsKnown{Endpoint: e}
	}
	for addr, k := range m.known {
		if _, ok := known[addr]; ok {
			continue
		}
		if k.misses++; k.misses == 1 {
			k.since = now
		}
		if k.misses < dnsMisses || now.Sub(k.since) < dnsGoneFor {
			known[addr] = k
		}
	}
	m.known = known
	set := make([]Endpoint, 0, len(known))
	for _, k := range known {
		set = append(set, k.Endpoint)
	}
	inOrder(set)
	if m.last == nil || !slices.EqualFunc(m.last, set, Endpoint.Equal) {
		m.last = set
	}
	return m.last
}

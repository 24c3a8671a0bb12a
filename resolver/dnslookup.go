package resolver

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// dnsWatch is what one watch asks for. Not for concurrent use.
type dnsWatch struct {
	dial   dialFunc
	server string
	zone   string // lower case, with the final dot
	port   int    // 0: SRV
	minTTL time.Duration
	names  []dnsmessage.Name // the forms of the name; only the one that had an answer once there was one

	queries int // sent in this lookup
}

// lookup asks once for the whole set. It is empty for NXDOMAIN.
func (w *dnsWatch) lookup(ctx context.Context) (found []Endpoint, ttl time.Duration, err error) {
	ttl = maxTTL
	if w.port != 0 {
		addrs, ttl, err := w.addresses(ctx, w.names[0])
		if err != nil {
			return nil, 0, err
		}
		for _, a := range addrs {
			found = append(found, Endpoint{Addr: netip.AddrPortFrom(a, uint16(w.port)).String(), Status: Passing, Weight: 1})
		}
		return found, ttl, nil
	}
	for i, name := range w.names {
		answer, err := w.ask(ctx, name, dnsmessage.TypeSRV)
		if err != nil {
			return nil, 0, err
		}
		ttl = min(ttl, answer.ttl)
		if len(answer.services) == 0 {
			continue
		}
		w.names = w.names[i : i+1]
		found, ttl, err = w.endpoints(ctx, answer)
		return found, ttl, err
	}
	return nil, min(ttl, w.minTTL), nil
}

// endpoints gives each record of the best priority (RFC 2782: others are not to be used while it answers) its addresses.
func (w *dnsWatch) endpoints(ctx context.Context, answer dnsAnswer) (found []Endpoint, ttl time.Duration, err error) {
	best := slices.MinFunc(answer.services, func(a, b dnsmessage.SRVResource) int { return int(a.Priority) - int(b.Priority) }).Priority
	ttl = answer.ttl
	for _, srv := range answer.services {
		target := strings.ToLower(srv.Target.String())
		if srv.Priority != best || target == "." { // RFC 2782: "." says that there is no such service
			continue
		}
		if srv.Port == 0 {
			return nil, 0, fmt.Errorf("the record of %.80q has port 0", target)
		}
		addrs := answer.addresses[target]
		if len(addrs) == 0 && inZone(target, w.zone) {
			var more time.Duration
			if addrs, more, err = w.addresses(ctx, srv.Target); err != nil {
				return nil, 0, err
			}
			ttl = min(ttl, more)
		}
		e := Endpoint{Node: strings.TrimSuffix(target, "."), Status: Passing, Weight: max(1, int(srv.Weight))}
		if err := checkNames(&e); err != nil { // any byte may stand in a label
			return nil, 0, err
		}
		if len(addrs) == 0 && !inZone(target, w.zone) {
			// A host of another domain: whoever dials asks that domain's servers.
			if e.Addr, err = joinHostPort(e.Node, int(srv.Port)); err != nil {
				return nil, 0, err
			}
			found = append(found, e)
		}
		found = append(found, at(e, addrs, srv.Port)...)
	}
	return found, ttl, nil
}

// at gives an endpoint its addresses. One of each family is one host with both (gRFC A61 has several addresses of an
// endpoint for that); more are hosts of their own, since nothing says which belong together.
func at(e Endpoint, addrs []netip.Addr, port uint16) (endpoints []Endpoint) {
	addr := func(i int) string { return netip.AddrPortFrom(addrs[i], port).String() }
	if len(addrs) == 2 && addrs[0].Unmap().Is4() != addrs[1].Unmap().Is4() {
		e.Addr, e.Alternates = addr(0), []string{addr(1)}
		return []Endpoint{e}
	}
	for i := range addrs {
		e.Addr = addr(i)
		endpoints = append(endpoints, e)
	}
	return endpoints
}

// addresses are all A and AAAA records of a name.
func (w *dnsWatch) addresses(ctx context.Context, name dnsmessage.Name) (addrs []netip.Addr, ttl time.Duration, err error) {
	ttl = maxTTL
	for _, kind := range []dnsmessage.Type{dnsmessage.TypeA, dnsmessage.TypeAAAA} {
		answer, err := w.ask(ctx, name, kind)
		if err != nil {
			return nil, 0, err
		}
		if len(answer.hosts) > 0 {
			addrs, ttl = append(addrs, answer.hosts...), min(ttl, answer.ttl)
		}
	}
	if len(addrs) == 0 {
		ttl = w.minTTL
	}
	return addrs, ttl, nil
}

func (w *dnsWatch) ask(ctx context.Context, name dnsmessage.Name, kind dnsmessage.Type) (dnsAnswer, error) {
	w.queries++
	question := dnsmessage.Question{Name: name, Type: kind, Class: dnsmessage.ClassINET}
	answer, err := exchange(ctx, w.dial, w.server, question, w.zone)
	if err != nil {
		return dnsAnswer{}, fmt.Errorf("%s %s: %w", strings.TrimPrefix(kind.String(), "Type"), name, err)
	}
	return answer, nil
}

// inZone reports whether a lower-case name with its final dot lies in zone.
func inZone(name, zone string) bool { return name == zone || strings.HasSuffix(name, "."+zone) }

package resolver

import (
	"context"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Static is a fixed set by service name: {"payments": {"127.0.0.1:8080"}}, each entry an instance. An instance that is
// reached at several addresses lists them in the order to try them: "10.0.0.7:80,[fd00::7]:80". Tag, Datacenter and Filter
// are ignored. A service that is not in it resolves to an empty set. A nil map holds nothing. Never write to it while it is
// watched.
type Static map[string][]string

// Watch publishes the set of t's service once and returns: nothing more will come. An address that is not "host:port"
// is an error, and the set of that service is refused whole.
func (s Static) Watch(_ context.Context, t Target, publish func(Snapshot, error)) {
	addrs, known := s[t.Service]
	if !known {
		publish(Snapshot{Origin: fmt.Sprintf("static, which has no %q", t.Service)}, nil)
		return
	}
	endpoints := make([]Endpoint, 0, len(addrs))
	for _, entry := range addrs {
		list := strings.Split(entry, ",")
		e := Endpoint{Addr: list[0], Alternates: list[1:len(list):len(list)], Status: Passing}
		if err := checkEndpoint(&e); err != nil {
			publish(Snapshot{}, fmt.Errorf("static address of %s: %w", t.Service, err))
			return
		}
		endpoints = append(endpoints, e)
	}
	publish(Snapshot{Endpoints: endpoints, Origin: "static"}, nil)
}

// checkEndpoint refuses one that cannot be called.
func checkEndpoint(e *Endpoint) error {
	switch e.Status {
	case "", Passing, Warning, Critical, Maintenance:
	default:
		return fmt.Errorf("unknown status %.80q", e.Status)
	}
	if e.Weight < 0 {
		return fmt.Errorf("weight %d; want 0 or more", e.Weight)
	}
	for _, addr := range e.Alternates {
		if err := checkHostPort(addr); err != nil {
			return err
		}
	}
	return checkHostPort(e.Addr)
}

// checkHostPort refuses everything but "host:port" with a port of 1 to 65535. The host of an IPv6 address stands in
// brackets.
func checkHostPort(addr string) error {
	if ap, err := netip.ParseAddrPort(addr); err == nil && ap.Port() != 0 {
		return nil
	}
	colon := strings.LastIndexByte(addr, ':')
	if colon <= 0 || strings.ContainsAny(addr[:colon], ":[]") {
		return fmt.Errorf(`%.80q is not "host:port"`, addr)
	}
	if port, err := strconv.ParseUint(addr[colon+1:], 10, 16); err != nil || port == 0 {
		return fmt.Errorf("%.80q has port %.80q; want 1 to 65535", addr, addr[colon+1:])
	}
	return checkHostName(addr[:colon])
}

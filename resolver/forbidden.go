package resolver

import (
	"fmt"
	"net/netip"
)

// metadata are addresses outside the link-local ranges at which clouds hand out the credentials of a machine: of AWS over
// IPv6, Alibaba Cloud and Azure.
var metadata = map[netip.Addr]bool{
	netip.MustParseAddr("fd00:ec2::254"):   true,
	netip.MustParseAddr("100.100.100.200"): true,
	netip.MustParseAddr("168.63.129.16"):   true,
}

var broadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// checkAddress refuses an address at which no instance of a service is: one that is nobody's, and, unless they are allowed,
// link-local ones (RFC 3927, RFC 4291 2.5.6) and those of clouds' metadata: whoever may register an instance could have every
// caller of the service ask its own machine's metadata. A host name passes: whoever resolves it decides.
func checkAddress(addr string, linkLocal bool) error {
	ap, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil //nolint:nilerr // a host name
	}
	ip := ap.Addr().Unmap().WithZone("")
	switch {
	case ip.IsUnspecified(), ip.IsMulticast(), ip == broadcast:
		return fmt.Errorf("address %s is that of no one host", ip)
	case !linkLocal && (ip.IsLinkLocalUnicast() || metadata[ip]):
		return fmt.Errorf("address %s is link-local, or a cloud's metadata: allow it by AllowLinkLocal if services are meant to be there", ip)
	}
	return nil
}

// checkAddresses is checkAddress of each.
func checkAddresses(endpoints []Endpoint, linkLocal bool) error {
	for _, e := range endpoints {
		for _, addr := range append([]string{e.Addr}, e.Alternates...) {
			if err := checkAddress(addr, linkLocal); err != nil {
				return err
			}
		}
	}
	return nil
}

package resolver

import (
	"fmt"
	"net/netip"
)

// metadata are addresses outside the link-local ranges at which clouds hand out the credentials of a machine.
var metadata = map[netip.Addr]bool{
	netip.MustParseAddr("fd00:ec2::254"):      true, // AWS
	netip.MustParseAddr("fd20:ce::254"):       true, // Google Cloud
	netip.MustParseAddr("fd00:c1::a9fe:a9fe"): true, // Oracle Cloud
	netip.MustParseAddr("fd00:42::42"):        true, // Scaleway
	netip.MustParseAddr("100.100.100.200"):    true, // Alibaba Cloud
	netip.MustParseAddr("168.63.129.16"):      true, // Azure
}

// translated are the prefixes under which a network's translator reaches IPv4: 64:ff9b::a9fe:a9fe is 169.254.169.254 (RFC
// 6052 2.1, RFC 8215). The address stands in the last four bytes.
var translated = []netip.Prefix{netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("::/96")}

// plain is the address that ip means: IPv4 where it is written as IPv6, and without a zone.
func plain(ip netip.Addr) netip.Addr {
	ip = ip.Unmap().WithZone("")
	for _, p := range translated {
		if b := ip.As16(); p.Contains(ip) && ip.Is6() && !ip.IsUnspecified() && !ip.IsLoopback() {
			return netip.AddrFrom4([4]byte(b[12:]))
		}
	}
	return ip
}

var (
	broadcast   = netip.AddrFrom4([4]byte{255, 255, 255, 255})
	thisNetwork = netip.MustParsePrefix("0.0.0.0/8") // RFC 1122 3.2.1.3: never a destination
)

// checkAddress refuses an address at which no instance of a service is: one that is nobody's, and, unless they are allowed,
// link-local ones (RFC 3927, RFC 4291 2.5.6) and those of clouds' metadata: whoever may register an instance could have every
// caller of the service ask its own machine's metadata. A host name passes: whoever resolves it decides.
func checkAddress(addr string, linkLocal bool) error {
	ap, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil //nolint:nilerr // a host name
	}
	ip := plain(ap.Addr())
	switch {
	case ip.IsUnspecified(), ip.IsMulticast(), ip == broadcast, thisNetwork.Contains(ip):
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

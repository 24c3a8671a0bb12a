package resolver

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"unicode"

	"github.com/onehop-go/onehop/internal/consulapi"
)

// addressOf is the address to call: the tagged one if asked for and registered, else the service's, else the node's.
func addressOf(entry *consulapi.ServiceEntry, tagged string) (host string, port int) {
	if host, port = taggedOf(entry, tagged); host != "" {
		return host, port
	}
	return cmp.Or(entry.Service.Address, entry.Node.Address), entry.Service.Port
}

// taggedOf is the address registered under a tag, "" where there is none. A service that has an address of its own is not
// reached at its node's.
func taggedOf(entry *consulapi.ServiceEntry, tag string) (host string, port int) {
	if tag == "" {
		return "", 0
	}
	node, service := entry.Node, entry.Service
	if a := service.TaggedAddresses[tag]; a.Address != "" {
		return a.Address, cmp.Or(a.Port, service.Port)
	}
	if service.Address != "" {
		return "", 0
	}
	return node.TaggedAddresses[tag], service.Port
}

// pairs are the tags under which Consul knows the two addresses of an instance that has both families.
var pairs = [...][2]string{{"lan_ipv4", "lan_ipv6"}, {"wan_ipv4", "wan_ipv6"}}

// alternatesOf is where else the instance is reached that is called at addr: at the other address of the pair that addr is
// of. An address of another network is not taken for one, since the same number may be another host's here. Whoever asks
// for one family by its tag gets that one alone. What may not be called is left out, and is no reason to refuse the list:
// addr stands without it.
func alternatesOf(entry *consulapi.ServiceEntry, tagged, addr string) []string {
	if strings.Contains(tagged, "_ipv") {
		return nil
	}
	for _, pair := range pairs {
		for i, tag := range pair {
			if at, err := joinHostPort(taggedOf(entry, tag)); err != nil || at != addr {
				continue
			}
			other, err := joinHostPort(taggedOf(entry, pair[1-i]))
			if err != nil || other == addr || checkAddress(other, false) != nil {
				return nil
			}
			return []string{other}
		}
	}
	return nil
}

func joinHostPort(host string, port int) (string, error) {
	if port < 1 || port > 65535 {
		return "", fmt.Errorf("port %d; want 1 to 65535", port)
	}
	bare := strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if ip, err := netip.ParseAddr(bare); err == nil {
		return netip.AddrPortFrom(ip, uint16(port)).String(), nil
	}
	isWrong := func(r rune) bool {
		return unicode.IsSpace(r) || unicode.IsControl(r) || strings.ContainsRune("/:@[]?#\\", r)
	}
	if host == "" || strings.ContainsFunc(host, isWrong) {
		return "", fmt.Errorf("address %q is neither an IP address nor a host name", host)
	}
	return net.JoinHostPort(host, strconv.Itoa(port)), nil
}

package resolver

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"regexp"
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
	if err := checkHostName(host); err != nil {
		return "", err
	}
	return net.JoinHostPort(host, strconv.Itoa(port)), nil
}

// checkHostName refuses what is no host name, and one that some systems' resolvers read as an address, such as
// "2852039166" or "0xa9fe.43518" (inet_aton(3)), which would pass by what is refused of addresses. By
// https://url.spec.whatwg.org/#ends-in-a-number-checker.
func checkHostName(host string) error {
	isWrong := func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsMark(r) && (r < '0' || r > '9') && r != '-' && r != '_' && r != '.'
	}
	last := strings.TrimSuffix(host, ".")
	last = last[strings.LastIndexByte(last, '.')+1:]
	if last == "" || len(host) > maxHostName || strings.ContainsFunc(host, isWrong) || number.MatchString(last) {
		return fmt.Errorf("address %.80q is neither an IP address nor a host name", host)
	}
	return nil
}

const maxHostName = 255 // RFC 1035 2.3.4

var number = regexp.MustCompile(`^([0-9]+|0[xX][0-9A-Fa-f]*)$`)

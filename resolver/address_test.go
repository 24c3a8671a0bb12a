package resolver

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// The addresses of one instance, as Consul registers them: what an agent with two families writes for its node, and for a
// service with an address of its own.
func TestEndpointAlternates(t *testing.T) {
	const (
		service = `,"Address":"10.0.0.2","TaggedAddresses":{"lan_ipv4":{"Address":"10.0.0.2","Port":80},"lan_ipv6":{"Address":"fd00::2","Port":80},` +
			`"wan_ipv4":{"Address":"203.0.113.2","Port":8080},"wan_ipv6":{"Address":"2001:db8::2","Port":8080},"wan":{"Address":"203.0.113.2","Port":8080}}`
		far = `,"Address":"198.51.100.7","TaggedAddresses":{"lan_ipv4":{"Address":"10.0.0.2","Port":80},"lan_ipv6":{"Address":"fd00::2","Port":80}}`
	)
	for _, row := range []struct{ name, service, node, tagged, addr, alternates string }{
		{"one family", `,"Address":"10.0.0.2"`, "", "", "10.0.0.2:80", ""},
		{"a service with two", service, "", "", "10.0.0.2:80", "[fd00::2]:80"},
		{"the same, called at its second", strings.Replace(service, `"Address":"10.0.0.2"`, `"Address":"fd00::2"`, 1), "", "", "[fd00::2]:80", "10.0.0.2:80"},
		{"abroad", service, "", "wan", "203.0.113.2:8080", "[2001:db8::2]:8080"},
		{"one family asked for", service, "", "lan_ipv6", "[fd00::2]:80", ""},
		{"a node with two", "", `"lan_ipv4":"10.0.0.1","lan_ipv6":"fd00::1"`, "", "10.0.0.1:80", "[fd00::1]:80"},
		{"a node's are not its service's", `,"Address":"10.0.0.2"`, `"lan_ipv4":"10.0.0.1","lan_ipv6":"fd00::1"`, "", "10.0.0.2:80", ""},
		{"a translated address is of another network", far, "", "", "198.51.100.7:80", ""},
		{"no address", "", `"lan_ipv4":"10.0.0.1","lan_ipv6":"a b"`, "", "10.0.0.1:80", ""},
		{"where no service lives", "", `"lan_ipv4":"10.0.0.1","lan_ipv6":"fe80::1"`, "", "10.0.0.1:80", ""},
	} {
		text := healthEntry(row.service, "")
		if row.node != "" {
			text = strings.Replace(text, `"wan":"198.51.100.1"`, row.node, 1)
		}
		e, err := endpointOf(entryOf(t, text), row.tagged)
		if err != nil || e.Addr != row.addr || strings.Join(e.Alternates, " ") != row.alternates {
			t.Errorf("%s: %s, then %q, %v; want %s, then %q", row.name, e.Addr, e.Alternates, err, row.addr, row.alternates)
		}
	}
}

// A host of an SRV record with one address of each family is one endpoint; of more nothing says which belong together.
func TestDNSHostWithTwoFamilies(t *testing.T) {
	for _, row := range []struct {
		addrs string
		want  string
	}{
		{"10.0.0.1", "10.0.0.1:80"},
		{"10.0.0.1 fd00::1", "10.0.0.1:80,[fd00::1]:80"},
		{"fd00::1 10.0.0.1", "[fd00::1]:80,10.0.0.1:80"},
		{"10.0.0.1 10.0.0.2", "10.0.0.1:80 10.0.0.2:80"},
		{"fd00::1 fd00::2", "[fd00::1]:80 [fd00::2]:80"},
		{"10.0.0.1 10.0.0.2 fd00::1", "10.0.0.1:80 10.0.0.2:80 [fd00::1]:80"},
	} {
		var addrs []netip.Addr
		for a := range strings.FieldsSeq(row.addrs) {
			addrs = append(addrs, netip.MustParseAddr(a))
		}
		var got []string
		for _, e := range at(Endpoint{Node: "n"}, addrs, 80) {
			if e.Node != "n" {
				t.Errorf("%s: lost what else is known", row.addrs)
			}
			got = append(got, strings.Join(append([]string{e.Addr}, e.Alternates...), ","))
		}
		if want := strings.Fields(row.want); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", row.addrs, got, want)
		}
	}
}

// A change of the alternates is a change of the endpoint, and they survive the disk.
func TestAlternatesAreKept(t *testing.T) {
	one, two := Endpoint{Addr: "10.0.0.1:80"}, Endpoint{Addr: "10.0.0.1:80", Alternates: []string{"[fd00::1]:80"}}
	if one.Equal(two) || !two.Equal(Endpoint{Addr: "10.0.0.1:80", Alternates: []string{"[fd00::1]:80"}}) {
		t.Error("Equal does not see the alternates")
	}
	f := newCacheFile(t.TempDir(), Target{Service: "pay"}, Static{})
	if err := f.store(Snapshot{Endpoints: []Endpoint{two}}); err != nil {
		t.Fatal(err)
	}
	if s, err := f.load(); err != nil || !s.Endpoints[0].Equal(two) {
		t.Errorf("from disk: %+v, %v", s, err)
	}
	two.Alternates = []string{"nowhere"}
	if err := f.store(Snapshot{Endpoints: []Endpoint{two}}); err != nil {
		t.Fatal(err)
	}
	if s, err := f.load(); err == nil {
		t.Errorf("a damaged alternate is believed: %+v", s)
	}
}

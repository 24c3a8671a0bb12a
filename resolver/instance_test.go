package resolver

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/onehop-go/onehop/internal/consulapi"
)

// entryOf reads a health entry as Consul sends it.
func entryOf(t *testing.T, text string) *consulapi.ServiceEntry {
	t.Helper()
	var e *consulapi.ServiceEntry
	if err := json.Unmarshal([]byte(text), &e); err != nil {
		t.Fatal(err)
	}
	return e
}

// healthEntry is a whole entry; service and checks are the inner text of their JSON.
func healthEntry(service, checks string) string {
	return `{"Node":{"Node":"n1","Address":"10.0.0.1","Datacenter":"dc1","TaggedAddresses":{"wan":"198.51.100.1"},"Meta":{"zone":"z-node"}},` +
		`"Service":{"ID":"pay-1","Service":"pay","Port":80` + service + `},"Checks":[` + checks + `]}`
}

func TestEndpointAddress(t *testing.T) {
	for _, row := range []struct {
		service, tagged string
		want, err       string
	}{
		{``, "", "10.0.0.1:80", ""},
		{`,"Address":"10.0.0.2"`, "", "10.0.0.2:80", ""},
		{`,"Address":"pay.example"`, "", "pay.example:80", ""},
		{`,"Address":"2001:db8::1"`, "", "[2001:db8::1]:80", ""},
		{`,"Address":"[2001:db8::1]"`, "", "[2001:db8::1]:80", ""},
		{`,"Address":"10.0.0.2","TaggedAddresses":{"wan":{"Address":"203.0.113.9","Port":8080}}`, "wan", "203.0.113.9:8080", ""},
		{`,"Address":"10.0.0.2","TaggedAddresses":{"wan":{"Address":"203.0.113.9"}}`, "wan", "203.0.113.9:80", ""},
		{`,"Address":"10.0.0.2","TaggedAddresses":{"wan":{"Address":"203.0.113.9"}}`, "", "10.0.0.2:80", ""},
		{`,"Address":"10.0.0.2"`, "wan", "10.0.0.2:80", ""},
		{``, "wan", "198.51.100.1:80", ""},
		{``, "lan_ipv6", "10.0.0.1:80", ""},
		{`,"Port":0`, "", "", `service "pay-1" on node "n1": port 0; want 1 to 65535`},
		{`,"Port":65536`, "", "", "port 65536"},
		{`,"Port":-1`, "", "", "port -1"},
		{`,"Address":"a b"`, "", "", `address "a b"`},
		{`,"Address":"a:1"`, "", "", `address "a:1"`},
		{`,"Address":"http://a"`, "", "", `address "http://a"`},
	} {
		e, err := endpointOf(entryOf(t, healthEntry(row.service, "")), row.tagged)
		if row.err != "" {
			if err == nil || !strings.Contains(err.Error(), row.err) {
				t.Errorf("%s: error %v, want %q", row.service, err, row.err)
			}
			continue
		}
		if err != nil || e.Addr != row.want {
			t.Errorf("%s tagged %q: %q, %v; want %q", row.service, row.tagged, e.Addr, err, row.want)
		}
	}
}

func TestEndpointStatusAndWeight(t *testing.T) {
	for _, row := range []struct {
		service, checks string
		status          Status
		weight          int
	}{
		{``, ``, Passing, 1},
		{`,"Weights":{"Passing":10,"Warning":3}`, `{"CheckID":"a","Status":"passing"}`, Passing, 10},
		{`,"Weights":{"Passing":10,"Warning":3}`, `{"CheckID":"a","Status":"passing"},{"CheckID":"b","Status":"warning"}`, Warning, 3},
		{`,"Weights":{"Passing":10,"Warning":0}`, `{"CheckID":"b","Status":"warning"}`, Critical, 1},
		{`,"Weights":{"Passing":0,"Warning":0}`, `{"CheckID":"b","Status":"warning"}`, Warning, 1},
		{`,"Weights":{"Passing":70000,"Warning":1}`, ``, Passing, 65535},
		{`,"Weights":{"Passing":-5,"Warning":1}`, ``, Passing, 1},
		{``, `{"CheckID":"serfHealth","Status":"critical"},{"CheckID":"a","Status":"passing"}`, Critical, 1},
		{``, `{"CheckID":"a","Status":"critical"},{"CheckID":"b","Status":"warning"}`, Critical, 1},
		{``, `{"CheckID":"a","Status":"unheard-of"}`, Critical, 1},
		{``, `{"CheckID":"_node_maintenance","Status":"critical"}`, Maintenance, 1},
		{``, `{"CheckID":"_service_maintenance:pay-1","Status":"critical"},{"CheckID":"a","Status":"passing"}`, Maintenance, 1},
	} {
		e, err := endpointOf(entryOf(t, healthEntry(row.service, row.checks)), "")
		if err != nil || e.Status != row.status || e.Weight != row.weight {
			t.Errorf("%s %s: %s, weight %d, %v; want %s, weight %d", row.service, row.checks, e.Status, e.Weight, err, row.status, row.weight)
		}
	}
}

func TestEndpointOrigin(t *testing.T) {
	e, err := endpointOf(entryOf(t, healthEntry(`,"Tags":["v2"],"Meta":{"k":"v"},"Locality":{"Region":"r","Zone":"z"}`, "")), "")
	if err != nil || e.ID != "n1/pay-1" || e.Node != "n1" || e.Datacenter != "dc1" || e.Region != "r" || e.Zone != "z" ||
		e.Tags[0] != "v2" || e.Meta["k"] != "v" {
		t.Errorf("%+v, %v", e, err)
	}
	e, err = endpointOf(entryOf(t, healthEntry(`,"Meta":{"region":"r2","zone":"z2"}`, "")), "")
	if err != nil || e.Region != "r2" || e.Zone != "z2" {
		t.Errorf("locality of the service's metadata: %+v, %v", e, err)
	}
	e, err = endpointOf(entryOf(t, healthEntry(``, "")), "")
	if err != nil || e.Region != "" || e.Zone != "z-node" {
		t.Errorf("locality of the node's metadata: %+v, %v", e, err)
	}
}

func TestEndpointStarted(t *testing.T) {
	at := time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)
	for service, want := range map[string]time.Time{
		``: {},
		`,"Meta":{"onehop-started":"2026-05-04T03:02:01Z"},"CreateIndex":7`: at,
		`,"Meta":{"onehop-started":"1777863721"}`:                           at,
		`,"Meta":{"onehop-started":"yesterday"}`:                            {},
		`,"Meta":{"onehop-started":"9223372036854775807"}`:                  {}, // a year that no JSON holds
		`,"Meta":{"onehop-started":"0000-01-01T00:00:00+24:00"}`:            {},
		`,"CreateIndex":7`: time.Unix(0, 7),
	} {
		e, err := endpointOf(entryOf(t, healthEntry(service, "")), "")
		if err != nil || !e.Started.Equal(want) {
			t.Errorf("%s: started %v, %v; want %v", service, e.Started, err, want)
		}
	}
}

func TestImpossibleInstanceRefusesTheList(t *testing.T) {
	good := healthEntry("", "")
	for _, row := range []struct{ bad, err string }{
		{`null`, "instance 2 of 2: without a node or a service"},
		{`{}`, "without a node or a service"},
		{`{"Node":{"Node":"n1"},"Service":null}`, "without a node or a service"},
		{`{"Node":null,"Service":{"ID":"x"}}`, "without a node or a service"},
		{healthEntry(``, "null"), `service "pay-1" on node "n1": an empty check`},
		{healthEntry(`,"Port":99999`, ""), "port 99999"},
		{healthEntry(`,"ID":"\u001b[2J"`, ""), "control characters"},
		{healthEntry(`,"Meta":{"zone":"a\nb"}`, ""), "control characters"},
		{healthEntry(`,"ID":"`+strings.Repeat("x", 600)+`"`, ""), "longer than 512 bytes"},
		{healthEntry(`,"Address":"2852039166"`, ""), "neither an IP address nor a host name"},
		{healthEntry(`,"Address":"0xa9fe.0xa9fe"`, ""), "neither an IP address nor a host name"},
		{healthEntry(`,"Address":"169.254.169.254."`, ""), "neither an IP address nor a host name"},
		{healthEntry(`,"Address":"a%0d%0ab"`, ""), "neither an IP address nor a host name"},
	} {
		_, err := Consul{}.endpoints([]*consulapi.ServiceEntry{entryOf(t, good), entryOf(t, row.bad)})
		if err == nil || !strings.Contains(err.Error(), row.err) {
			t.Errorf("%s: error %v, want %q", row.bad, err, row.err)
		}
		if err != nil && len(err.Error()) > 500 {
			t.Errorf("the error has %d bytes", len(err.Error()))
		}
	}
}

package resolver

import (
	"strings"
	"testing"
)

func TestParseTarget(t *testing.T) {
	for _, row := range []struct {
		in   string
		want Target
		err  string // a part of the error; "" none
	}{
		{in: "payments", want: Target{Service: "payments"}},
		{in: "Payments-2", want: Target{Service: "Payments-2"}},
		{in: "payments.service.consul", want: Target{Service: "payments"}},
		{in: "payments.service.consul.", want: Target{Service: "payments"}},
		{in: "v2.payments.service.consul", want: Target{Service: "payments", Tag: "v2"}},
		{in: "v2.payments.service.dc2.consul", want: Target{Service: "payments", Tag: "v2", Datacenter: "dc2"}},
		{in: "v2.payments.SERVICE.dc2.dc.Consul", want: Target{Service: "payments", Tag: "v2", Datacenter: "dc2"}},
		{in: "pay.query.consul", want: Target{Service: "pay", Query: true}},
		{in: "pay.query.dc2.consul", want: Target{Service: "pay", Query: true, Datacenter: "dc2"}},
		{in: "pay.service.two.peer.consul", want: Target{Service: "pay", Peer: "two"}},
		{in: "service.service.consul", want: Target{Service: "service"}},
		{in: "query.service.consul", want: Target{Service: "query"}},
		{in: "consul:///payments", want: Target{Service: "payments"}},
		{in: "CONSUL:///payments", want: Target{Service: "payments"}},
		{in: "consul://127.0.0.1:8500/payments", want: Target{Service: "payments"}},
		{in: "consul:///a.b_c", want: Target{Service: "a.b_c"}},
		{in: "consul:///a%20b", want: Target{Service: "a b"}},
		{in: "consul:///payments?tag=v2&dc=dc2", want: Target{Service: "payments", Tag: "v2", Datacenter: "dc2"}},
		{in: "consul:///payments?peer=two&filter=Service.Port%3D%3D80", want: Target{Service: "payments", Peer: "two", Filter: "Service.Port==80"}},
		{in: "consul:///pay?query=true", want: Target{Service: "pay", Query: true}},
		{in: "consul://u:secret@127.0.0.1:8500/pay?healthy=true&wait=10s&limit=5&timeout=1s&near=_agent&" +
			"insecure=true&max-backoff=1s&allow-stale&require-consistent&token=secret&sort=x", want: Target{Service: "pay"}},

		{in: "", err: "empty; want a service name"},
		{in: "payments:8080", err: "leave the port away"},
		{in: "127.0.0.1", err: "an IP address is no service name"},
		{in: "::1", err: "an IP address is no service name"},
		{in: "localhost", err: "this machine is no service"},
		{in: "a_b", err: "reached as consul:///a_b"},
		{in: "example.com", err: "nor a name under .consul"},
		{in: "a.b.c.service.consul", err: "want [tag.]name.service[.dc].consul"},
		{in: "n1.node.consul", err: "want [tag.]name.service[.dc].consul"},
		{in: "tag.q.query.consul", err: "want [tag.]name.service[.dc].consul"},
		{in: "service.consul", err: "want [tag.]name.service[.dc].consul"},
		{in: "http://payments", err: "unknown scheme"},
		{in: "consul:payments", err: "want three slashes"},
		{in: "consul://payments", err: "want three slashes"},
		{in: "consul:///", err: "no service name"},
		{in: "consul:///a/b", err: "want one name"},
		{in: "consul:///a%2Fb", err: "holds a slash"},
		{in: "consul:///..", err: "dot segment"},
		{in: "consul:///a%00b", err: "control character"},
		{in: "consul:///a#b", err: "no fragment"},
		{in: "consul:///a?tags=b", err: `unknown parameter "tags"; want tag, dc, peer, filter or query`},
		{in: "consul:///a?tag=b&tag=c", err: "tag is given 2 times"},
		{in: "consul:///a?query=maybe", err: `query is "maybe"; want true or false`},
		{in: "consul:///a?dc=x&peer=y", err: "exclude each other"},
		{in: "consul:///a?query=true&tag=y", err: "only dc goes with it"},
		{in: "consul:///a?filter=%zz", err: "not percent-encoded"},
	} {
		got, err := ParseTarget(row.in)
		switch {
		case row.err == "" && (err != nil || got != row.want):
			t.Errorf("ParseTarget(%q) = %+v, %v; want %+v", row.in, got, err, row.want)
		case row.err != "" && (err == nil || !strings.Contains(err.Error(), row.err)):
			t.Errorf("ParseTarget(%q) error %v; want one with %q", row.in, err, row.err)
		}
	}
}

func TestParseTargetHidesCredentials(t *testing.T) {
	for _, in := range []string{
		"consul://user:hush@127.0.0.1:8500/a?nope=1",
		"consul://hush@127.0.0.1:8500/a/b",
		"consul://hush@[::/a",
		"consul:///a?token=hush&nope=1",
		"http://user:hush@x/a",
	} {
		if _, err := ParseTarget(in); err == nil || strings.Contains(err.Error(), "hush") {
			t.Errorf("ParseTarget(%q) error %v; want one without the credentials", in, err)
		}
	}
}

func TestParseHost(t *testing.T) {
	for host, want := range map[string]bool{
		"payments":                          true,
		"payments.service.consul":           true,
		strings.Repeat("a", 63):             true,
		strings.Repeat("a", 64):             false,
		"localhost":                         false,
		"LOCALHOST":                         false,
		"payments:80":                       false,
		"127.0.0.1":                         false,
		"[::1]":                             false,
		"::1":                               false,
		"example.com":                       false,
		"payments.":                         false,
		"":                                  false,
		".":                                 false,
		"-a":                                false,
		"a_b":                               false,
		"a..service.consul":                 false,
		"consul":                            true,
		"payments.service.consul.evil.com":  false,
		"payments.service.dc2.extra.consul": false,
	} {
		if _, got := ParseHost(host); got != want {
			t.Errorf("ParseHost(%q) = %v, want %v", host, got, want)
		}
	}
}

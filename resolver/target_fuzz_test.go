package resolver

import (
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"unicode"
)

// wantOneSegment fails if a name could leave the segment of a path, or the line of a header, that it is put into.
func wantOneSegment(t *testing.T, target Target) {
	t.Helper()
	u := url.URL{Scheme: "http", Host: "agent", Path: "/v1/health/service/" + target.Service}
	clean := u.JoinPath() // resolves dot segments
	if clean.Path != u.Path || strings.Count(u.Path, "/") != 4 {
		t.Errorf("%+v asks Consul for %s", target, clean.Path)
	}
	for _, s := range []string{target.Service, target.Tag, target.Datacenter, target.Peer, target.Filter} {
		if strings.ContainsFunc(s, unicode.IsControl) {
			t.Errorf("%+v holds a control character", target)
		}
	}
}

// What is read as a target is written and read back the same, and stays where it is put.
func FuzzParseTarget(f *testing.F) {
	for _, s := range []string{
		"payments", "v2.payments.service.dc2.consul", "pay.query.consul", "pay.service.two.peer.consul",
		"consul:///a%20b?tag=x&filter=a%3Db", "consul://u:p@h/x?query=1", "consul:///a?dc=%26%3D", "consul:///%2e%2E",
		"consul:///..%2fkv", "consul:///a%00", "consul:///a?tag=%0d%0aX-Consul-Token:b", "consul:///a\\..\\b", "consul:////a", "consul:///%2",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		target, err := ParseTarget(s)
		if err != nil {
			if strings.ContainsFunc(err.Error(), unicode.IsControl) {
				t.Errorf("the error of %q holds a control character: %q", s, err)
			}
			return
		}
		wantOneSegment(t, target)
		again, err := ParseTarget(target.String())
		if err != nil || again != target {
			t.Errorf("ParseTarget(%q) = %+v, its String %q reads back as %+v, %v", s, target, target.String(), again, err)
		}
	})
}

// A target made in code is taken by every resolver exactly if its written form is.
func FuzzTargetString(f *testing.F) {
	f.Add("a.b", "t", "dc1", "", "Service.Port == 80", false)
	f.Add("a b?#%", "&=;+", "", "p", "\"", false)
	f.Add("q", "", "", "", "", true)
	f.Add("..", "", "", "", "", false)
	f.Add("a/../b", "", "", "", "", false)
	f.Fuzz(func(t *testing.T, service, tag, dc, peer, filter string, query bool) {
		target := Target{Service: service, Tag: tag, Datacenter: dc, Peer: peer, Filter: filter, Query: query}
		again, err := ParseTarget(target.String())
		if invalid := target.validate(); (invalid == nil) != (err == nil) {
			t.Fatalf("%+v: validate says %v, ParseTarget of its String says %v", target, invalid, err)
		}
		if err != nil {
			return
		}
		wantOneSegment(t, target)
		if again != target {
			t.Errorf("%q reads back as %+v, want %+v", target.String(), again, target)
		}
	})
}

// hostOf writes a target as the name under ".consul" that means it.
func hostOf(t Target) string {
	name, kind := t.Service, "service"
	if t.Tag != "" {
		name = t.Tag + "." + name
	}
	if t.Query {
		kind = "query"
	}
	switch {
	case t.Peer != "":
		kind += "." + t.Peer + ".peer"
	case t.Datacenter != "":
		kind += "." + t.Datacenter
	}
	return name + "." + kind + ".consul"
}

// A host that is a service is one to net/url as well, is no address, and is what its target is called in Consul's DNS.
func FuzzParseHost(f *testing.F) {
	for _, s := range []string{
		"payments", "consul", "localhost", "127.1", "[::1]", "pay:80", "service.query.service.consul", "a.b.service.dc1.dc.consul",
		"pay.service.two.peer.consul", "query.query.query.consul", "PAY.Service.CONSUL.", "x.service.service.consul", "pay.service.consul:80",
		"a.service.peer.peer.consul", "peer.service.dc.dc.consul", "\u212aay", "pay%2fx", "user@pay", "127.0.0.1.", "0x7f000001",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, host string) {
		target, ok := ParseHost(host)
		if !ok {
			return
		}
		u, err := url.Parse("http://" + host + "/path")
		if err != nil || u.Hostname() != host || u.Port() != "" || u.User != nil || u.Path != "/path" {
			t.Errorf("%q is a service, and to net/url %+v, %v", host, u, err)
		}
		if _, err := netip.ParseAddr(strings.TrimSuffix(host, ".")); err == nil {
			t.Errorf("the address %q is a service", host)
		}
		if err := target.validate(); err != nil {
			t.Errorf("%q gives %+v, which no resolver takes: %v", host, target, err)
		}
		written := hostOf(target)
		again, ok := ParseHost(written)
		if !ok || again != target {
			t.Errorf("%q gives %+v, its name %q gives %+v", host, target, written, again)
		}
		if strings.Contains(host, ".") && !sameName(host, written) {
			t.Errorf("%q gives %+v, which is called %q", host, target, written)
		}
		if _, err := dnsNames(target, "consul."); err != nil && len(written) < 200 {
			t.Errorf("%q gives %+v, which DNS cannot ask for: %v", host, target, err)
		}
	})
}

// sameName compares as DNS does; "dc1.dc" and "dc1" are the same datacenter.
func sameName(host, written string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	written = strings.ToLower(written)
	if host == written {
		return true
	}
	long, found := strings.CutSuffix(written, ".consul")
	return found && host == long+".dc.consul"
}

// An address that is taken has a host without anything that another parser could read differently, and a port.
func FuzzHostPort(f *testing.F) {
	for _, s := range []string{
		"a:1", "[::1]:80", "[fe80::1%eth0]:80", "::1:80", "a:0", "a:65536", ":80", "a b:1", "u@a:1", "[a]:1", "1.2.3.4:080", "a\n:1", "a?b:1", "a%00:1",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, addr string) {
		if checkHostPort(addr) != nil {
			return
		}
		wantCallable(t, addr)
	})
}

// wantCallable fails if addr is nothing that net/url and net agree on.
func wantCallable(t *testing.T, addr string) {
	t.Helper()
	u, err := url.Parse("http://" + addr + "/path")
	if ap, notIP := netip.ParseAddrPort(addr); notIP == nil {
		if ap.Port() == 0 {
			t.Errorf("%q has port 0", addr)
		}
		return // net/url wants a zone to be escaped
	}
	if err != nil || u.Host != addr || u.User != nil || u.Path != "/path" || u.Hostname() == "" || u.Port() == "" {
		t.Errorf("the address %q is to net/url %+v, %v", addr, u, err)
	}
}

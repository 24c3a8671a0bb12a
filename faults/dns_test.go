package faults

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/onehop-go/onehop"
	"github.com/onehop-go/onehop/internal/consultest"
	"github.com/onehop-go/onehop/policy"
	"github.com/onehop-go/onehop/resolver"
)

// dnsServer is scripted, over UDP and TCP on one port. The script gives the messages to answer a query with.
type dnsServer struct {
	addr string

	mu      sync.Mutex
	script  func(network string, q dnsmessage.Message) []dnsmessage.Message
	queries int
}

func newDNSServer(t *testing.T, withTCP bool) *dnsServer {
	t.Helper()
	u, l := listenDNS(t, withTCP)
	s := &dnsServer{addr: u.LocalAddr().String()}
	var wg sync.WaitGroup
	wg.Go(func() { s.udp(u) })
	t.Cleanup(func() { _ = u.Close(); wg.Wait() })
	if withTCP {
		wg.Go(func() { s.tcp(l, &wg) })
		t.Cleanup(func() { _ = l.Close() })
	}
	return s
}

// listenDNS takes a UDP port, and if asked the TCP port of the same number, which somebody else may have: then another.
func listenDNS(t *testing.T, withTCP bool) (u net.PacketConn, l net.Listener) {
	t.Helper()
	for range 100 {
		var err error
		if u, err = net.ListenPacket("udp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
		if !withTCP {
			return u, nil
		}
		if l, err = net.Listen("tcp", u.LocalAddr().String()); err == nil {
			return u, l
		}
		_ = u.Close()
	}
	t.Fatal("no port is free both for UDP and for TCP")
	return nil, nil
}

func (s *dnsServer) udp(u net.PacketConn) {
	b := make([]byte, 4096)
	for {
		n, from, err := u.ReadFrom(b)
		if err != nil {
			return
		}
		for _, reply := range s.answer("udp", b[:n]) {
			_, _ = u.WriteTo(reply, from)
		}
	}
}

func (s *dnsServer) tcp(l net.Listener, wg *sync.WaitGroup) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		wg.Go(func() {
			defer c.Close() //nolint:errcheck // a test's server
			var size [2]byte
			for {
				if _, err := io.ReadFull(c, size[:]); err != nil {
					return
				}
				b := make([]byte, binary.BigEndian.Uint16(size[:]))
				if _, err := io.ReadFull(c, b); err != nil {
					return
				}
				for _, reply := range s.answer("tcp", b) {
					_, _ = c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(reply))), reply...))
				}
			}
		})
	}
}

func (s *dnsServer) answer(network string, query []byte) (replies [][]byte) {
	var q dnsmessage.Message
	if q.Unpack(query) != nil {
		return nil
	}
	s.mu.Lock()
	s.queries++
	script := s.script
	s.mu.Unlock()
	for _, m := range script(network, q) {
		if b, err := m.Pack(); err == nil {
			replies = append(replies, b)
		}
	}
	return replies
}

func (s *dnsServer) by(script func(network string, q dnsmessage.Message) []dnsmessage.Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.script = script
}

func (s *dnsServer) asked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.queries
}

// srv answers q with the instances at addrs.
func srv(q dnsmessage.Message, ttl uint32, addrs ...string) dnsmessage.Message {
	m := dnsmessage.Message{Header: dnsmessage.Header{ID: q.ID, Response: true, Authoritative: true}, Questions: q.Questions}
	name := q.Questions[0].Name
	for i, a := range addrs {
		host, port, _ := net.SplitHostPort(a)
		n, _ := strconv.Atoi(port)
		target := dnsmessage.MustNewName(fmt.Sprintf("i%d.addr.dc1.consul.", i))
		m.Answers = append(m.Answers, dnsmessage.Resource{
			Header: dnsmessage.ResourceHeader{Name: name, Class: dnsmessage.ClassINET, TTL: ttl},
			Body:   &dnsmessage.SRVResource{Priority: 1, Weight: 1, Port: uint16(n), Target: target},
		})
		m.Additionals = append(m.Additionals, dnsmessage.Resource{
			Header: dnsmessage.ResourceHeader{Name: target, Class: dnsmessage.ClassINET, TTL: ttl},
			Body:   &dnsmessage.AResource{A: [4]byte(net.ParseIP(host).To4())},
		})
	}
	return m
}

func one(m dnsmessage.Message) []dnsmessage.Message { return []dnsmessage.Message{m} }

func dnsHop(t *testing.T, server string, e *eye) *onehop.Client {
	t.Helper()
	return newHop(t, onehop.WithResolver(resolver.DNS{Server: server}), onehop.WithPolicies(policy.Static{}), e.option())
}

func TestRow13AnswersAreTrimmed(t *testing.T) {
	t.Parallel()
	row(t, 13)
	const n = 60
	t.Run("Consul", func(t *testing.T) {
		t.Parallel()
		a := agent(t)
		if a.DNSAddr == "" {
			t.Skip("the agent does not say where its DNS is")
		}
		name := consultest.Name(t, "sixty")
		for i := range n {
			a.Register(t, consultest.Service{Name: name, ID: fmt.Sprint(name, i), Port: 20000 + i})
		}
		var e eye
		dnsHop(t, a.DNSAddr, &e).Upstream(name)
		await(t, "an answer", func() bool { return e.listed() >= 0 })
		e.awaitListed(t, n)
		figuref(t, "%d of %d found in Consul's DNS", e.listed(), n)
	})
	for name, truncated := range map[string]bool{"with TC": true, "without TC": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var all []string
			for i := range n {
				all = append(all, fmt.Sprintf("192.0.2.%d:80", i+1))
			}
			s := newDNSServer(t, true)
			s.by(func(network string, q dnsmessage.Message) []dnsmessage.Message {
				if network == "tcp" {
					return one(srv(q, 60, all...))
				}
				m := srv(q, 60, all[:3]...)
				m.Truncated = truncated
				return one(m)
			})
			var e eye
			dnsHop(t, s.addr, &e).Upstream("pay")
			await(t, "an answer", func() bool { return e.listed() >= 0 })
			figuref(t, "%d of %d found", e.listed(), n)
			if e.listed() != n {
				t.Errorf("%d of %d endpoints", e.listed(), n)
			}
		})
	}
}

func TestRow14ForeignDNSAnswers(t *testing.T) {
	t.Parallel()
	row(t, 14)
	good, evil := newServer(t), newServer(t)
	s := newDNSServer(t, false) // UDP alone, where foreign answers can be slipped in
	s.by(func(_ string, q dnsmessage.Message) []dnsmessage.Message {
		wrongID := srv(q, 1, evil.addr)
		wrongID.ID++
		other := srv(q, 1, evil.addr)
		other.Questions = []dnsmessage.Question{{Name: dnsmessage.MustNewName("evil.service.consul."), Type: q.Questions[0].Type, Class: dnsmessage.ClassINET}}
		zone := srv(q, 1, good.addr)
		zone.Additionals = append(zone.Additionals, dnsmessage.Resource{
			Header: dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName("www.example.com."), Class: dnsmessage.ClassINET, TTL: 1},
			Body:   &dnsmessage.AResource{A: [4]byte{203, 0, 113, 7}},
		})
		query := srv(q, 1, evil.addr)
		query.Response = false
		return []dnsmessage.Message{wrongID, other, query, zone}
	})
	var e eye
	web := webOf(t, dnsHop(t, s.addr, &e))
	for range 50 {
		if o := get(t, web, "http://pay/"); !o.ok() {
			t.Fatal(o.err)
		}
	}
	figuref(t, "%d of 50 calls misrouted", evil.seen())
	if evil.seen() != 0 || good.seen() != 50 {
		t.Errorf("good saw %d, evil %d", good.seen(), evil.seen())
	}
}

func TestRow15NameUnknownAndTTLZero(t *testing.T) {
	t.Parallel()
	row(t, 15)
	servers := newServers(t, 2)
	s := newDNSServer(t, true)
	s.by(func(_ string, q dnsmessage.Message) []dnsmessage.Message { return one(srv(q, 0, addrs(servers)...)) })
	var e eye
	start := time.Now()
	tr := drive(t, webOf(t, dnsHop(t, s.addr, &e)), "http://pay/", 50)
	e.awaitListed(t, 2)
	tr.more(150)
	s.by(func(_ string, q dnsmessage.Message) []dnsmessage.Message {
		return one(dnsmessage.Message{Header: dnsmessage.Header{ID: q.ID, Response: true, RCode: dnsmessage.RCodeNameError}, Questions: q.Questions})
	})
	tr.more(250)
	asked, took := s.asked(), time.Since(start)
	tr.stop().wantNoneFailed(t)
	figuref(t, "%d queries in %s", asked, took.Round(100*time.Millisecond))
	if float64(asked) > took.Seconds()+3 {
		t.Errorf("%d queries in %s; want one a second", asked, took)
	}
	if e.listed() != 2 {
		t.Errorf("%d endpoints after NXDOMAIN; the last known 2 stay", e.listed())
	}
}

func TestRow16StaleDNS(t *testing.T) {
	t.Parallel()
	row(t, 16)
	servers := newServers(t, 3)
	s := newDNSServer(t, true)
	s.by(func(_ string, q dnsmessage.Message) []dnsmessage.Message { return one(srv(q, 1, addrs(servers)...)) })
	var e eye
	tr := drive(t, webOf(t, dnsHop(t, s.addr, &e)), "http://pay/", 100)
	tr.more(100)
	before := e.touched(servers[0].addr)
	servers[0].kill()
	at := tr.count()
	tr.more(300)
	later := tr.count() - at
	tr.stop().wantNoneFailed(t)
	dead := e.touched(servers[0].addr) - before
	figuref(t, "%d of %d calls tried the dead address", dead, later)
	if float64(dead) > .05*float64(later) { // a third is its share
		t.Errorf("%d of %d calls tried the dead address; want 5 %% at most", dead, later)
	}
}

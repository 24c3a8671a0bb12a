package resolver

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// dnsServer is scripted: answer gives the reply to each query. It stands over in-memory connections, so that a watch
// runs in virtual time; over "udp" a message is one write.
type dnsServer struct {
	mu      sync.Mutex
	answer  func(network string, q dnsmessage.Message) []dnsmessage.Message
	noTCP   bool
	queries []string
	at      []time.Time
	serving sync.WaitGroup
}

func (s *dnsServer) dial(_ context.Context, network, _ string) (net.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if network == "tcp" && s.noTCP {
		return nil, errors.New("connection refused")
	}
	ours, theirs := net.Pipe()
	s.serving.Go(func() { s.serve(network, theirs) })
	return ours, nil
}

func (s *dnsServer) serve(network string, conn net.Conn) {
	defer conn.Close() //nolint:errcheck // a test's pipe
	query := make([]byte, 4096)
	if network == "tcp" {
		if _, err := io.ReadFull(conn, query[:2]); err != nil {
			return
		}
		query = query[:binary.BigEndian.Uint16(query)]
	}
	n, err := conn.Read(query)
	if err != nil {
		return
	}
	var q dnsmessage.Message
	if err := q.Unpack(query[:n]); err != nil {
		panic(err)
	}
	s.mu.Lock()
	s.queries = append(s.queries, strings.TrimPrefix(q.Questions[0].Type.String(), "Type")+" "+q.Questions[0].Name.String())
	s.at = append(s.at, time.Now())
	answer := s.answer
	s.mu.Unlock()
	for _, m := range answer(network, q) {
		reply, err := m.Pack()
		if err != nil {
			panic(err)
		}
		if network == "tcp" {
			reply = append(binary.BigEndian.AppendUint16(nil, uint16(len(reply))), reply...)
		}
		if _, err := conn.Write(reply); err != nil {
			return
		}
	}
	_, _ = conn.Read(query[:1]) // until the client closes
}

func (s *dnsServer) answerBy(f func(network string, q dnsmessage.Message) []dnsmessage.Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = f
}

// start watches in the background until the bubble's test function ends.
func (s *dnsServer) start(t *testing.T, d DNS, target Target) *published {
	t.Helper()
	return s.startIn(context.Background(), t, d, target)
}

func (s *dnsServer) startIn(ctx context.Context, t *testing.T, d DNS, target Target) *published {
	t.Helper()
	p := &published{}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { d.watch(ctx, target, p.publish, s.dial) })
	t.Cleanup(func() { cancel(); wg.Wait(); s.serving.Wait() })
	return p
}

// records replies with n SRV records of TTL ttl and their addresses.
func records(q dnsmessage.Message, n int, ttl uint32) dnsmessage.Message {
	m := reply(q, dnsmessage.RCodeSuccess)
	for i := range n {
		target := dnsmessage.MustNewName(fmt.Sprintf("0a0000%02x.addr.dc1.consul.", i))
		m.Answers = append(m.Answers, dnsmessage.Resource{
			Header: dnsmessage.ResourceHeader{Name: q.Questions[0].Name, Class: dnsmessage.ClassINET, TTL: ttl},
			Body:   &dnsmessage.SRVResource{Priority: 1, Weight: 5, Port: 80, Target: target},
		})
		m.Additionals = append(m.Additionals, dnsmessage.Resource{
			Header: dnsmessage.ResourceHeader{Name: target, Class: dnsmessage.ClassINET, TTL: ttl},
			Body:   &dnsmessage.AResource{A: [4]byte{10, 0, 0, byte(i)}},
		}, dnsmessage.Resource{
			Header: dnsmessage.ResourceHeader{Name: target, Class: dnsmessage.ClassINET, TTL: ttl},
			Body:   &dnsmessage.TXTResource{TXT: []string{"consul-network-segment="}},
		})
	}
	return m
}

func reply(q dnsmessage.Message, code dnsmessage.RCode) dnsmessage.Message {
	return dnsmessage.Message{Header: dnsmessage.Header{ID: q.ID, Response: true, RCode: code}, Questions: q.Questions}
}

func one(m dnsmessage.Message) []dnsmessage.Message { return []dnsmessage.Message{m} }

// addrs is how published shows the first n of records.
func addrs(n int) string {
	var list []string
	for i := range n {
		list = append(list, fmt.Sprintf("10.0.0.%d:80", i))
	}
	slices.Sort(list)
	return "dns:" + strings.Join(list, ",")
}

var pay = Target{Service: "pay"}

func TestDNSAsksOverTCPFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &dnsServer{answer: func(network string, q dnsmessage.Message) []dnsmessage.Message {
			if network == "udp" {
				return one(records(q, 3, 0)) // trimmed, and no bit says so
			}
			return one(records(q, 60, 10))
		}}
		p := s.start(t, DNS{}, pay)
		wantWords(t, p, addrs(60))
		time.Sleep(9 * time.Second)
		wantWords(t, p)
		time.Sleep(2 * time.Second)
		wantWords(t, p, addrs(60))
		if p.last.Endpoints[0].Weight != 5 || p.last.Endpoints[0].Status != Passing {
			t.Errorf("%+v", p.last.Endpoints[0])
		}
	})
}

func TestDNSFallsBackToUDP(t *testing.T) {
	for name, row := range map[string]struct {
		count     int
		truncated bool
		err       string
	}{
		"whole":                         {count: 20},
		"truncated":                     {count: 3, truncated: true, err: "truncated; the server must be reachable over TCP"},
		"so large that some may lack":   {count: 50, err: "may lack instances"},
		"with the query's size of EDNS": {count: 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				size := make(chan dnsmessage.ResourceHeader, 100)
				s := &dnsServer{noTCP: true, answer: func(_ string, q dnsmessage.Message) []dnsmessage.Message {
					size <- q.Additionals[0].Header
					m := records(q, row.count, 0)
					m.Truncated = row.truncated
					return one(m)
				}}
				p := s.start(t, DNS{}, Target{Service: "pay", Query: true})
				synctest.Wait()
				words := p.take()
				if row.err == "" && !slices.Equal(words, []string{addrs(row.count)}) ||
					row.err != "" && (len(words) != 1 || !strings.Contains(words[0], row.err)) {
					t.Errorf("published %q", words)
				}
				if h := <-size; h.Type != dnsmessage.TypeOPT || h.Class != udpSize {
					t.Errorf("EDNS0 header %+v", h)
				}
			})
		})
	}
}

func TestDNSDropsForeignAnswers(t *testing.T) {
	evil := func(q dnsmessage.Message) dnsmessage.Message { // three instances in place of one
		return records(q, 3, 0)
	}
	wrong := map[string]func(q dnsmessage.Message) dnsmessage.Message{
		"id":       func(q dnsmessage.Message) dnsmessage.Message { m := evil(q); m.ID++; return m },
		"question": func(q dnsmessage.Message) dnsmessage.Message { return evil(renamed(q, "other.service.consul.")) },
		"query":    func(q dnsmessage.Message) dnsmessage.Message { m := evil(q); m.Response = false; return m },
		"two questions": func(q dnsmessage.Message) dnsmessage.Message {
			m := evil(q)
			m.Questions = append(slices.Clone(m.Questions), m.Questions[0])
			return m
		},
	}
	for name, forge := range wrong {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &dnsServer{noTCP: true, answer: func(_ string, q dnsmessage.Message) []dnsmessage.Message {
					return []dnsmessage.Message{forge(q), records(q, 1, 10)}
				}}
				wantWords(t, s.start(t, DNS{}, pay), addrs(1))
			})
			synctest.Test(t, func(t *testing.T) {
				s := &dnsServer{answer: func(_ string, q dnsmessage.Message) []dnsmessage.Message { return one(forge(q)) }}
				p := s.start(t, DNS{}, pay)
				synctest.Wait()
				if words := p.take(); len(words) != 1 || !strings.Contains(words[0], errNotOurs.Error()) {
					t.Errorf("over tcp: published %q", words)
				}
			})
		})
	}
}

func renamed(q dnsmessage.Message, name string) dnsmessage.Message {
	q.Questions = []dnsmessage.Question{{Name: dnsmessage.MustNewName(name), Type: q.Questions[0].Type, Class: q.Questions[0].Class}}
	return q
}

func TestDNSIgnoresRecordsOfOtherZones(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &dnsServer{answer: func(_ string, q dnsmessage.Message) []dnsmessage.Message {
			m := reply(q, dnsmessage.RCodeSuccess)
			srv := func(owner, target string) dnsmessage.Resource {
				return dnsmessage.Resource{
					Header: dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName(owner), Class: dnsmessage.ClassINET},
					Body:   &dnsmessage.SRVResource{Priority: 1, Port: 80, Target: dnsmessage.MustNewName(target)},
				}
			}
			a := func(owner string) dnsmessage.Resource {
				return dnsmessage.Resource{
					Header: dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName(owner), Class: dnsmessage.ClassINET},
					Body:   &dnsmessage.AResource{A: [4]byte{6, 6, 6, 6}},
				}
			}
			if q.Questions[0].Type != dnsmessage.TypeSRV {
				return one(m)
			}
			m.Answers = []dnsmessage.Resource{srv("pay.service.consul.", "bank.example."), srv("other.service.consul.", "n9.node.dc1.consul.")}
			m.Additionals = []dnsmessage.Resource{a("bank.example."), a("www.bank.example."), a("n9.node.dc1.consul.")}
			return one(m)
		}}
		wantWords(t, s.start(t, DNS{}, pay), "dns:bank.example:80")
	})
}

func TestDNSAsksAtMostOnceASecond(t *testing.T) {
	for name, answer := range map[string]func(string, dnsmessage.Message) []dnsmessage.Message{
		"NXDOMAIN": func(_ string, q dnsmessage.Message) []dnsmessage.Message {
			return one(reply(q, dnsmessage.RCodeNameError))
		},
		"TTL 0": func(_ string, q dnsmessage.Message) []dnsmessage.Message { return one(records(q, 2, 0)) },
		"SERVFAIL": func(_ string, q dnsmessage.Message) []dnsmessage.Message {
			return one(reply(q, dnsmessage.RCodeServerFailure))
		},
		"REFUSED": func(_ string, q dnsmessage.Message) []dnsmessage.Message {
			return one(reply(q, dnsmessage.RCodeRefused))
		},
		"silence": func(string, dnsmessage.Message) []dnsmessage.Message { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &dnsServer{answer: answer}
				p := s.start(t, DNS{}, pay)
				time.Sleep(time.Hour)
				synctest.Wait()
				s.mu.Lock()
				if n := len(s.at); n > 3600 || n < 100 {
					t.Errorf("%d queries in an hour", n)
				}
				s.mu.Unlock()
				words := p.take()
				isEmpty := len(words) > 0 && words[0] == "dns:"
				isFull := len(words) > 0 && words[0] == addrs(2)
				if isEmpty != (name == "NXDOMAIN") || isFull != (name == "TTL 0") {
					t.Errorf("published first %q", words[0])
				}
			})
		})
	}
}

// A long TTL does not keep away who is asked to read anew, and who asks all the time gets no more than the pace.
func TestDNSAsksAnewOnRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &dnsServer{answer: func(_ string, q dnsmessage.Message) []dnsmessage.Message { return one(records(q, 2, 300)) }}
		asked := make(chan struct{}, 1)
		s.startIn(WithResolveNow(t.Context(), asked), t, DNS{MinTTL: 5 * time.Second}, pay)
		queries := func() int {
			synctest.Wait()
			s.mu.Lock()
			defer s.mu.Unlock()
			return len(s.at)
		}
		time.Sleep(250 * time.Second)
		if n := queries(); n != 1 {
			t.Fatalf("%d queries within the TTL", n)
		}
		asked <- struct{}{}
		if n := queries(); n != 2 {
			t.Errorf("%d queries after one was asked for; want 2", n)
		}
		for range 1000 {
			select {
			case asked <- struct{}{}:
			default:
			}
			time.Sleep(100 * time.Millisecond)
		}
		if n := queries(); n < 2+100/6 || n > 2+100/5 {
			t.Errorf("%d queries more in 100 s of asking; want one in 5 s, and up to a tenth", n-2)
		}
	})
}

func TestDNSKeepsWhatFailedReadsDoNotName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &dnsServer{answer: func(_ string, q dnsmessage.Message) []dnsmessage.Message { return one(records(q, 2, 0)) }}
		p := s.start(t, DNS{}, pay)
		wantWords(t, p, addrs(2))
		s.answerBy(func(_ string, q dnsmessage.Message) []dnsmessage.Message {
			return one(reply(q, dnsmessage.RCodeNameError))
		})
		time.Sleep(29 * time.Second)
		synctest.Wait()
		for _, word := range p.take() {
			if word != addrs(2) {
				t.Fatalf("published %q within 30 s of NXDOMAIN", word)
			}
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if words := p.take(); words[len(words)-1] != "dns:" {
			t.Errorf("published %q after 34 s of NXDOMAIN", words)
		}
	})
}

func TestDNSMemory(t *testing.T) {
	found := func(names string) (set []Endpoint) {
		for addr := range strings.FieldsSeq(names) {
			set = append(set, Endpoint{Addr: addr})
		}
		return set
	}
	type step struct {
		at          int // seconds
		found, want string
	}
	for name, steps := range map[string][]step{
		"leaves after 30 s and three answers": {{0, "a b", "a b"}, {1, "a", "a b"}, {20, "a", "a b"}, {30, "a", "a b"}, {31, "a", "a"}},
		"30 s are not enough":                 {{0, "a b", "a b"}, {100, "a", "a b"}, {200, "a", "a b"}, {300, "a", "a"}},
		"three answers are not enough":        {{0, "a b", "a b"}, {1, "a", "a b"}, {2, "a", "a b"}, {3, "a", "a b"}, {31, "a", "a"}},
		"seen again, counted anew":            {{0, "a b", "a b"}, {1, "a", "a b"}, {20, "a b", "a b"}, {31, "a", "a b"}, {40, "a", "a b"}, {61, "a", "a"}},
		"new ones at once":                    {{0, "", ""}, {1, "a", "a"}, {2, "a b", "a b"}},
	} {
		t.Run(name, func(t *testing.T) {
			var m dnsMemory
			for _, st := range steps {
				var got []string
				for _, e := range m.apply(time.Unix(int64(st.at), 0), found(st.found)) {
					got = append(got, e.Addr)
				}
				if strings.Join(got, " ") != st.want {
					t.Fatalf("at %d s: %q, want %q", st.at, got, st.want)
				}
			}
		})
	}
}

func TestDNSNames(t *testing.T) {
	for _, row := range []struct {
		target Target
		domain string
		want   string
		err    string
	}{
		{Target{Service: "pay"}, "", "pay.service.consul. _pay._tcp.service.consul.", ""},
		{Target{Service: "pay", Tag: "v2"}, "", "v2.pay.service.consul. _pay._v2.service.consul.", ""},
		{Target{Service: "pay", Datacenter: "dc2"}, "", "pay.service.dc2.consul. _pay._tcp.service.dc2.consul.", ""},
		{Target{Service: "pay", Peer: "two"}, "", "pay.service.two.peer.consul.", ""},
		{Target{Service: "pay", Query: true, Datacenter: "dc2"}, "", "pay.query.dc2.consul.", ""},
		{Target{Service: "pay_x"}, ".Example.ORG.", "pay_x.service.example.org. _pay_x._tcp.service.example.org.", ""},
		{Target{Service: "a.b"}, "", "", `"a.b" is no name in DNS`},
		{Target{Service: "a", Filter: "x"}, "", "", "DNS knows no filters"},
		{Target{}, "", "", "no service name"},
		{Target{Service: "a"}, strings.Repeat("a.", 150), "", "too long"},
	} {
		d := DNS{Domain: row.domain}
		w := dnsWatch{server: defaultDNSServer, zone: d.zone()}
		err := d.check(row.target, &w)
		var names []string
		for _, n := range w.names {
			names = append(names, n.String())
		}
		if got := strings.Join(names, " "); got != row.want {
			t.Errorf("%v: names %q, want %q", row.target, got, row.want)
		}
		if row.err == "" && err != nil || row.err != "" && (err == nil || !strings.Contains(err.Error(), row.err)) {
			t.Errorf("%v: error %v, want %q", row.target, err, row.err)
		}
	}
	for _, d := range []DNS{{Server: "nowhere"}, {Port: 70000}, {Port: -1}} {
		p := &published{}
		d.Watch(t.Context(), pay, p.publish)
		if words := p.take(); len(words) != 1 || strings.HasPrefix(words[0], "dns:") {
			t.Errorf("%+v: published %q", d, words)
		}
	}
}

func TestDNSFixedPort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &dnsServer{answer: func(_ string, q dnsmessage.Message) []dnsmessage.Message {
			m := reply(q, dnsmessage.RCodeSuccess)
			alias := dnsmessage.MustNewName("alias.service.consul.")
			m.Answers = []dnsmessage.Resource{{
				Header: dnsmessage.ResourceHeader{Name: q.Questions[0].Name, Class: dnsmessage.ClassINET, TTL: 60},
				Body:   &dnsmessage.CNAMEResource{CNAME: alias},
			}}
			h := dnsmessage.ResourceHeader{Name: alias, Class: dnsmessage.ClassINET, TTL: 30}
			if q.Questions[0].Type == dnsmessage.TypeA {
				m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AResource{A: [4]byte{10, 0, 0, 1}}})
			} else {
				m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AAAAResource{AAAA: netip.MustParseAddr("2001:db8::1").As16()}})
			}
			return one(m)
		}}
		p := s.start(t, DNS{Port: 8080}, pay)
		wantWords(t, p, "dns:10.0.0.1:8080,[2001:db8::1]:8080")
		time.Sleep(29 * time.Second)
		wantWords(t, p)
		if want := []string{"A pay.service.consul.", "AAAA pay.service.consul."}; !slices.Equal(s.queries, want) {
			t.Errorf("asked %q, want %q", s.queries, want)
		}
	})
}

func TestDNSAsksForTheSecondFormOnlyUntilOneAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &dnsServer{answer: func(_ string, q dnsmessage.Message) []dnsmessage.Message {
			if strings.HasPrefix(q.Questions[0].Name.String(), "_") {
				return one(records(q, 1, 10))
			}
			return one(reply(q, dnsmessage.RCodeNameError))
		}}
		p := s.start(t, DNS{}, pay)
		wantWords(t, p, addrs(1))
		time.Sleep(12 * time.Second)
		synctest.Wait()
		if want := []string{"SRV pay.service.consul.", "SRV _pay._tcp.service.consul.", "SRV _pay._tcp.service.consul."}; !slices.Equal(s.queries, want) {
			t.Errorf("asked %q, want %q", s.queries, want)
		}
	})
}

package resolver

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

const (
	dnsTimeout = 5 * time.Second
	// udpSize is what we take over UDP (EDNS0, RFC 6891). A server that trims to it without the TC bit, as Consul does,
	// stops short of it by less than the largest record with its additional ones: from there on an answer may lack some.
	udpSize     = 4096
	udpSuspect  = udpSize - 512
	queryLength = 512
)

// dnsAnswer is what one good answer says.
type dnsAnswer struct {
	services  []dnsmessage.SRVResource
	addresses map[string][]netip.Addr // of SRV targets in the zone, by lower-case name, from the additional records
	hosts     []netip.Addr            // of the name asked for, over CNAMEs in the answer
	ttl       time.Duration           // the least of all that was used
}

// errNotOurs is an answer to another question; over UDP it is waited past, since anybody can send one.
var errNotOurs = errors.New("an answer to another question")

// exchange asks over TCP, and over UDP where no connection is to be had.
func exchange(ctx context.Context, dial dialFunc, server string, question dnsmessage.Question, zone string) (dnsAnswer, error) {
	id := uint16(rand.Uint32())
	ctx, cancel := context.WithTimeout(ctx, dnsTimeout)
	defer cancel()
	reply, tcpErr := exchangeTCP(ctx, dial, server, id, question)
	if tcpErr == nil {
		return readAnswer(reply, id, question, zone)
	}
	if ctx.Err() != nil {
		return dnsAnswer{}, fmt.Errorf("tcp: %w", tcpErr)
	}
	answer, udpErr := exchangeUDP(ctx, dial, server, id, question, zone)
	if udpErr != nil {
		return dnsAnswer{}, fmt.Errorf("udp: %w (after tcp: %w)", udpErr, tcpErr)
	}
	return answer, nil
}

// dialFunc is net.Dialer.DialContext.
type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// dialDNS gives a connection that ends with ctx: a cancelled watch does not wait for silence.
func dialDNS(ctx context.Context, dial dialFunc, network, server string) (net.Conn, func() bool, error) {
	conn, err := dial(ctx, network, server)
	if err != nil {
		return nil, nil, err
	}
	return conn, context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) }), nil
}

func exchangeTCP(ctx context.Context, dial dialFunc, server string, id uint16, question dnsmessage.Question) ([]byte, error) {
	conn, stop, err := dialDNS(ctx, dial, "tcp", server)
	if err != nil {
		return nil, err
	}
	defer conn.Close() //nolint:errcheck // all was read, or it failed
	defer stop()
	query, err := packQuery(make([]byte, 2, queryLength), id, question, false)
	if err != nil {
		return nil, err
	}
	binary.BigEndian.PutUint16(query, uint16(len(query)-2))
	if _, err := conn.Write(query); err != nil {
		return nil, err
	}
	var length [2]byte
	if _, err := io.ReadFull(conn, length[:]); err != nil {
		return nil, err
	}
	reply := make([]byte, binary.BigEndian.Uint16(length[:]))
	_, err = io.ReadFull(conn, reply)
	return reply, err
}

func exchangeUDP(ctx context.Context, dial dialFunc, server string, id uint16, question dnsmessage.Question, zone string) (dnsAnswer, error) {
	conn, stop, err := dialDNS(ctx, dial, "udp", server)
	if err != nil {
		return dnsAnswer{}, err
	}
	defer conn.Close() //nolint:errcheck // all was read, or it failed
	defer stop()
	query, err := packQuery(nil, id, question, true)
	if err != nil {
		return dnsAnswer{}, err
	}
	if _, err := conn.Write(query); err != nil {
		return dnsAnswer{}, err
	}
	buffer := make([]byte, 65535)
	for {
		n, err := conn.Read(buffer)
		if err != nil {
			return dnsAnswer{}, err
		}
		answer, err := readAnswer(buffer[:n], id, question, zone)
		switch {
		case errors.Is(err, errNotOurs):
			continue
		case err == nil && n > udpSuspect:
			err = fmt.Errorf("%d bytes may lack instances; the server must be reachable over TCP", n)
		}
		return answer, err
	}
}

func packQuery(buffer []byte, id uint16, question dnsmessage.Question, edns bool) ([]byte, error) {
	b := dnsmessage.NewBuilder(buffer, dnsmessage.Header{ID: id, RecursionDesired: true})
	if err := errors.Join(b.StartQuestions(), b.Question(question)); err != nil {
		return nil, err
	}
	if edns {
		var header dnsmessage.ResourceHeader
		if err := errors.Join(header.SetEDNS0(udpSize, dnsmessage.RCodeSuccess, false), b.StartAdditionals(),
			b.OPTResource(header, dnsmessage.OPTResource{})); err != nil {
			return nil, err
		}
	}
	return b.Finish()
}

// readAnswer refuses what is not the answer to this question, and skips records that are not about it: of another owner,
// or additional ones of another zone, which any server could make up.
func readAnswer(reply []byte, id uint16, question dnsmessage.Question, zone string) (dnsAnswer, error) {
	var p dnsmessage.Parser
	header, err := p.Start(reply)
	if err != nil || header.ID != id || !header.Response {
		return dnsAnswer{}, errNotOurs
	}
	questions, err := p.AllQuestions()
	if err != nil || len(questions) != 1 || !sameQuestion(questions[0], question) {
		return dnsAnswer{}, errNotOurs
	}
	switch {
	case header.RCode == dnsmessage.RCodeNameError:
		return dnsAnswer{}, nil
	case header.RCode != dnsmessage.RCodeSuccess:
		return dnsAnswer{}, fmt.Errorf("the server says %s", strings.TrimPrefix(header.RCode.String(), "RCode"))
	case header.Truncated:
		return dnsAnswer{}, errors.New("the answer is truncated; the server must be reachable over TCP")
	}
	a := answerReader{parser: &p, zone: zone, owner: lower(question.Name)}
	a.answer.ttl, a.answer.addresses = maxTTL, map[string][]netip.Addr{}
	if err := errors.Join(a.answers(), p.SkipAllAuthorities()); err != nil {
		return dnsAnswer{}, fmt.Errorf("malformed answer: %w", err)
	}
	if err := a.additionals(); err != nil {
		return dnsAnswer{}, fmt.Errorf("malformed answer: %w", err)
	}
	return a.answer, nil
}

func sameQuestion(a, b dnsmessage.Question) bool {
	return a.Type == b.Type && a.Class == b.Class && lower(a.Name) == lower(b.Name)
}

func lower(n dnsmessage.Name) string { return strings.ToLower(n.String()) }

// answerReader reads the records of one message.
type answerReader struct {
	parser *dnsmessage.Parser
	zone   string
	owner  string // of the records that count: the name asked for, then where its CNAMEs lead
	answer dnsAnswer
}

func (a *answerReader) answers() error {
	for {
		h, err := a.parser.AnswerHeader()
		if errors.Is(err, dnsmessage.ErrSectionDone) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := a.record(h); err != nil {
			return err
		}
	}
}

func (a *answerReader) record(h dnsmessage.ResourceHeader) error {
	if h.Class != dnsmessage.ClassINET || lower(h.Name) != a.owner {
		return a.parser.SkipAnswer()
	}
	switch h.Type {
	case dnsmessage.TypeSRV:
		srv, err := a.parser.SRVResource()
		if err != nil {
			return err
		}
		a.answer.services = append(a.answer.services, srv)
	case dnsmessage.TypeCNAME:
		c, err := a.parser.CNAMEResource()
		if err != nil {
			return err
		}
		a.owner = lower(c.CNAME)
	case dnsmessage.TypeA, dnsmessage.TypeAAAA:
		addr, err := a.address(h.Type)
		if err != nil {
			return err
		}
		a.answer.hosts = append(a.answer.hosts, addr)
	default:
		return a.parser.SkipAnswer()
	}
	a.answer.ttl = min(a.answer.ttl, time.Duration(h.TTL)*time.Second)
	return nil
}

// additionals takes the addresses of SRV targets; Consul repeats them, beside TXT records.
func (a *answerReader) additionals() error {
	targets := map[string]bool{}
	for _, srv := range a.answer.services {
		targets[lower(srv.Target)] = true
	}
	seen := map[string]bool{}
	for {
		h, err := a.parser.AdditionalHeader()
		if errors.Is(err, dnsmessage.ErrSectionDone) {
			return nil
		}
		if err != nil {
			return err
		}
		name := lower(h.Name)
		isAddress := h.Type == dnsmessage.TypeA || h.Type == dnsmessage.TypeAAAA
		if !isAddress || h.Class != dnsmessage.ClassINET || !targets[name] || !inZone(name, a.zone) {
			if err := a.parser.SkipAdditional(); err != nil {
				return err
			}
			continue
		}
		addr, err := a.address(h.Type)
		if err != nil {
			return err
		}
		if key := name + addr.String(); !seen[key] {
			seen[key] = true
			a.answer.addresses[name] = append(a.answer.addresses[name], addr)
			a.answer.ttl = min(a.answer.ttl, time.Duration(h.TTL)*time.Second)
		}
	}
}

func (a *answerReader) address(kind dnsmessage.Type) (netip.Addr, error) {
	if kind == dnsmessage.TypeA {
		r, err := a.parser.AResource()
		return netip.AddrFrom4(r.A), err
	}
	r, err := a.parser.AAAAResource()
	return netip.AddrFrom16(r.AAAA), err
}

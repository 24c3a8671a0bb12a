package resolver

import (
	"context"
	"encoding/binary"
	"net"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

var (
	srvQuestion = dnsmessage.Question{Name: dnsmessage.MustNewName("pay.service.consul."), Type: dnsmessage.TypeSRV, Class: dnsmessage.ClassINET}
	srvQuery    = dnsmessage.Message{Header: dnsmessage.Header{ID: 7}, Questions: []dnsmessage.Question{srvQuestion}}
)

func addAnswers(f *testing.F) {
	f.Helper()
	foreign := records(srvQuery, 1, 5)
	foreign.Additionals[0].Header.Name = dnsmessage.MustNewName("evil.example.")
	elsewhere := records(srvQuery, 1, 5)
	elsewhere.Answers[0].Body = &dnsmessage.SRVResource{Port: 80, Target: dnsmessage.MustNewName("169.254.169.254.")}
	elsewhere.Additionals = nil
	loop := reply(srvQuery, dnsmessage.RCodeSuccess)
	loop.Answers = []dnsmessage.Resource{{
		Header: dnsmessage.ResourceHeader{Name: srvQuestion.Name, Class: dnsmessage.ClassINET},
		Body:   &dnsmessage.CNAMEResource{CNAME: srvQuestion.Name},
	}}
	for _, m := range []dnsmessage.Message{
		records(srvQuery, 2, 5), reply(srvQuery, dnsmessage.RCodeNameError), reply(srvQuery, dnsmessage.RCodeServerFailure), srvQuery,
		foreign, elsewhere, loop,
	} {
		text, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
}

// An answer that is taken is one to the question, as the whole parser of messages reads it too.
func FuzzReadAnswer(f *testing.F) {
	addAnswers(f)
	f.Fuzz(func(t *testing.T, text []byte) {
		answer, err := readAnswer(text, srvQuery.ID, srvQuestion, "consul.")
		if err != nil {
			return
		}
		var p dnsmessage.Parser
		header, err := p.Start(text)
		questions, qerr := p.AllQuestions()
		if err != nil || qerr != nil || header.ID != srvQuery.ID || !header.Response || len(questions) != 1 || !sameQuestion(questions[0], srvQuestion) {
			t.Fatalf("taken, and no answer to the question: %+v %+v", header, questions)
		}
		for name := range answer.addresses {
			if !inZone(name, "consul.") {
				t.Errorf("an address of %q is taken", name)
			}
		}
		if answer.ttl < 0 || answer.ttl > maxTTL {
			t.Errorf("the TTL is %v", answer.ttl)
		}
		if n := len(answer.services) + len(answer.hosts); n > len(text)/11 { // a record has 11 bytes at least
			t.Errorf("%d records out of %d bytes", n, len(text))
		}
	})
}

// canned is a connection whose other side answers the first query with text, with its id put in, and then ends.
type canned struct {
	net.Conn // nil: nothing else is called
	text     []byte
	reply    []byte
}

func (c *canned) Write(query []byte) (int, error) {
	c.reply = append(binary.BigEndian.AppendUint16(nil, uint16(len(c.text))), c.text...)
	copy(c.reply[2:], query[2:4]) // the id
	return len(query), nil
}

func (c *canned) Read(p []byte) (int, error) {
	if len(c.reply) == 0 {
		return 0, net.ErrClosed
	}
	n := copy(p, c.reply)
	c.reply = c.reply[n:]
	return n, nil
}

func (c *canned) Close() error                { return nil }
func (c *canned) SetDeadline(time.Time) error { return nil }

// Whatever a server answers to all that is asked, only addresses that may be called come of it.
func FuzzDNSLookup(f *testing.F) {
	addAnswers(f)
	names, err := dnsNames(pay, "consul.")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		text = text[:min(len(text), 65535)]
		dial := func(_ context.Context, network, _ string) (net.Conn, error) {
			if network != "tcp" {
				return nil, net.ErrClosed
			}
			return &canned{text: text}, nil
		}
		w := dnsWatch{dial: dial, server: defaultDNSServer, zone: "consul.", minTTL: time.Second, names: names}
		found, ttl, err := w.lookup(t.Context())
		if err != nil || checkAddresses(found, false) != nil {
			return
		}
		if ttl < 0 || ttl > maxTTL {
			t.Errorf("the TTL is %v", ttl)
		}
		for _, e := range found {
			wantEndpoint(t, e)
		}
	})
}

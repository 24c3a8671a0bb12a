package consulapi

import (
	"bytes"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/hashicorp/consul/api"
)

// said is a round trip that always gives one answer.
type said struct {
	status        int
	index, header string
	body          []byte
}

func (s said) RoundTrip(req *http.Request) (*http.Response, error) {
	h := http.Header{"X-Consul-Index": {s.index}, "X-Consul-Lastcontact": {s.header}, "Age": {s.header}}
	return &http.Response{
		StatusCode: s.status, Status: strconv.Itoa(s.status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: h, Body: io.NopCloser(bytes.NewReader(s.body)), Request: req, ContentLength: int64(len(s.body)),
	}, nil
}

const fuzzToken = "t0ken-of-the-fuzzer"

// answered is a Client whose agent says s to everything.
func answered(tb testing.TB, s said) *Client {
	tb.Helper()
	c, err := newClient(settings{address: address{base: "http://agent:8500", host: "agent", shown: "agent:8500"}, token: fuzzToken})
	if err != nil {
		tb.Fatal(err)
	}
	c.transport.base.RegisterProtocol("http", s)
	c.maxBody = 1 << 16
	return c
}

// wantError fails unless err is one that may be told to anybody.
func wantError(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		return
	}
	text := err.Error()
	switch KindOf(err) {
	case Unreachable, Denied, Server, Malformed, Refused:
	default:
		t.Errorf("an error of no kind: %q", text)
	}
	if strings.ContainsFunc(text, unicode.IsControl) || len(text) > maxTold+100 || strings.Contains(text, fuzzToken) {
		t.Errorf("not to be told: %q", text)
	}
}

// Whatever an agent answers, a list, a value or an error comes of it that fits the answer, and an error that may be logged.
func FuzzAnswer(f *testing.F) {
	entry := `[{"Node":{"Node":"n","Address":"10.0.0.1"},"Service":{"ID":"a","Port":80},"Checks":[]}]`
	for _, s := range []said{
		{200, "7", "0", []byte(entry)},
		{200, "7", "1", []byte(`[{"Key":"k","Value":"aGk=","ModifyIndex":3}]`)},
		{200, "7", "", []byte(`{"Service":"a","Nodes":[null],"DNS":{"TTL":"10s"}}`)},
		{200, "0", "-1", []byte(`null`)},
		{200, "\x1b[2J", "9999999999999", []byte(`[`)},
		{200, "18446744073709551616", "", []byte(`[{"Key":"other"}]`)},
		{403, "1", "", []byte("Permission denied: token " + fuzzToken)},
		{500, "1", "", []byte("\x1b[31m" + strings.Repeat("no leader ", 50))},
		{301, "1", "", nil}, {404, "1", "", nil}, {429, "", "", []byte("rate")},
		{200, "7", "", []byte(`{"Service":"a","DNS":{"TTL":"` + strings.Repeat("x", 2000) + `"}}`)},
		{200, "7", "", []byte(`[{"Service":{"Port":` + strings.Repeat("9", 2000) + `}}]`)},
		{200, fuzzToken, "", []byte(`[]`)},
	} {
		f.Add(s.status, s.index, s.header, s.body)
	}
	f.Fuzz(func(t *testing.T, status int, index, header string, body []byte) {
		if status < 200 || status > 599 {
			return // net/http gives no other
		}
		s := said{status, index, header, body}
		c := answered(t, s)
		var got answer
		w := &serviceWatch{client: c, query: ServiceQuery{Service: "a"}}
		meta, err := c.send(t.Context(), "service a", &api.QueryOptions{}, func(q *api.QueryOptions) (err error) { got, err = w.read(q); return err })
		wantMeta(t, s, meta, err)
		if err == nil && got.entries == nil {
			t.Error("neither a list nor an error")
		}
		w.query.Prepared = true
		_, err = c.send(t.Context(), "prepared query a", &api.QueryOptions{}, func(q *api.QueryOptions) (err error) { got, err = w.read(q); return err })
		wantError(t, err)
		var kv KeyValue
		meta, err = c.send(t.Context(), "key k", &api.QueryOptions{}, func(q *api.QueryOptions) (err error) { kv, err = c.getKey("k", q); return err })
		if status == http.StatusNotFound && err == nil && kv.Exists {
			t.Error("a value out of a 404")
		}
		wantError(t, err)
		if meta.Age < 0 {
			t.Errorf("age %v", meta.Age)
		}
	})
}

// wantMeta fails if an index is taken from what is no number above 0 of a 200.
func wantMeta(t *testing.T, s said, meta Meta, err error) {
	t.Helper()
	wantError(t, err)
	n, bad := strconv.ParseUint(s.index, 10, 64)
	if meta.Index != 0 && (s.status != http.StatusOK || bad != nil || meta.Index != n) {
		t.Errorf("index %d of %+v", meta.Index, s)
	}
	if err == nil && (s.status != http.StatusOK || meta.Index == 0) {
		t.Errorf("taken: %+v of %+v", meta, s)
	}
	if meta.Age < 0 || meta.Age > (1<<32)*time.Second {
		t.Errorf("age %v of %q", meta.Age, s.header)
	}
}

// A key that is asked for stays below its prefix, on the way through net/http and Consul's router too.
func FuzzKey(f *testing.F) {
	for _, s := range []string{"pay", "a.b_c", "..", "a/../b", "%2e%2e", "a%2fb", "a b", "a\x00", "é", "?recurse", "#x", "a//b", "/a", "a/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		key := "onehop/policy/" + name
		if checkKey(key) != nil {
			return
		}
		asked := ""
		c := answered(t, said{status: http.StatusOK})
		c.transport.base = &http.Transport{}
		c.transport.base.RegisterProtocol("http", roundTrip(func(req *http.Request) (*http.Response, error) {
			asked = req.URL.Path
			if req.URL.RawQuery != "" && strings.Contains(req.URL.RawQuery, "recurse") {
				t.Errorf("key %q became parameters: %s", key, req.URL)
			}
			return said{status: http.StatusNotFound, index: "1"}.RoundTrip(req)
		}))
		_, err := c.send(t.Context(), "key", &api.QueryOptions{}, func(q *api.QueryOptions) error { _, err := c.getKey(key, q); return err })
		wantError(t, err)
		if err == nil && asked != "/v1/kv/"+key {
			t.Errorf("key %q is asked for as %q", key, asked)
		}
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

package resolver

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/onehop-go/onehop/internal/consulapi"
)

// What is read from the catalogue is callable, and survives the disk.
func FuzzConsulEntries(f *testing.F) {
	for _, s := range []string{
		`[` + healthEntry(`,"Meta":{"onehop-started":"1"},"Weights":{"Passing":1,"Warning":0}`, `{"CheckID":"a","Status":"warning"}`) + `]`,
		`[` + healthEntry(`,"Meta":{"onehop-started":"2026-05-04T03:02:01+02:00","zone":"z"},"Tags":["a",""],"CreateIndex":7`, "") + `]`,
		`[` + healthEntry(`,"Address":"169.254.169.254"`, "") + `]`,
		`[` + healthEntry(`,"Address":"[::ffff:169.254.169.254]","TaggedAddresses":{"wan":{"Address":"::1","Port":9}}`, "") + `]`,
		`[` + healthEntry(`,"Meta":{"onehop-started":"9223372036854775807"}`, "") + `]`,
		`[` + healthEntry(`,"Meta":{"onehop-started":"0000-01-01T00:00:00+24:00"}`, "") + `]`,
		`[` + healthEntry(`,"Address":"10.0.0.2","TaggedAddresses":{"lan_ipv4":{"Address":"10.0.0.2"},"lan_ipv6":{"Address":"fe80::1"}}`, "") + `]`,
		`[null]`,
		`[{"Node":{},"Service":{"Port":1,"Address":"::"},"Checks":[null]}]`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var entries []*consulapi.ServiceEntry
		if json.Unmarshal([]byte(text), &entries) != nil {
			return
		}
		endpoints, err := Consul{TaggedAddress: "wan"}.endpoints(entries)
		if err != nil {
			return
		}
		if len(endpoints) != len(entries) {
			t.Fatalf("%d endpoints of %d entries", len(endpoints), len(entries))
		}
		for _, e := range endpoints {
			wantEndpoint(t, e)
		}
		wantCached(t, Snapshot{Endpoints: endpoints, At: time.Unix(1, 0)})
	})
}

// wantEndpoint fails unless e is one that may be called.
func wantEndpoint(t *testing.T, e Endpoint) {
	t.Helper()
	if err := checkHostPort(e.Addr); err != nil || e.Weight < 1 || e.Weight > maxWeight {
		t.Errorf("%+v: %v", e, err)
	}
	switch e.Status {
	case Passing, Warning, Critical, Maintenance:
	default:
		t.Errorf("%+v: an unknown status", e)
	}
	for _, addr := range e.Alternates {
		if err := checkHostPort(addr); err != nil {
			t.Errorf("%+v: %v", e, err)
		}
	}
	if err := checkAddresses([]Endpoint{e}, false); err != nil {
		t.Errorf("%+v: %v", e, err)
	}
}

// wantCached fails unless the disk gives s back.
func wantCached(t *testing.T, s Snapshot) {
	t.Helper()
	file := newCacheFile("", pay, Static{})
	text, err := file.encode(s)
	if err != nil {
		t.Fatalf("%+v cannot be written: %v", s, err)
	}
	back, err := file.decode(text)
	if err != nil || len(back.Endpoints) != len(s.Endpoints) {
		t.Fatalf("%+v reads back as %+v, %v", s, back, err)
	}
	for i, e := range s.Endpoints {
		if !back.Endpoints[i].Equal(e) {
			t.Errorf("%+v reads back as %+v", e, back.Endpoints[i])
		}
	}
}

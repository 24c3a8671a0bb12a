package consulapi

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onehop-go/onehop/consul"
)

func TestZoneOfTheAgentsNode(t *testing.T) {
	rows := []struct {
		name, self, want string
	}{
		{"the node's metadata", `{"Config":{"Server":false},"DebugConfig":{"Locality":null},"Meta":{"region":"eu","zone":"eu-1a"}}`, "eu-1a"},
		{"the locality before it", `{"DebugConfig":{"Locality":{"Region":"eu","Zone":"eu-1b"}},"Meta":{"zone":"eu-1a"}}`, "eu-1b"},
		{"a locality of nothing", `{"DebugConfig":{"Locality":{"Region":"","Zone":""}},"Meta":{"zone":"eu-1a"}}`, "eu-1a"},
		{"a locality without a zone, which metadata of another kind does not fill", `{"DebugConfig":{"Locality":{"Region":"eu"}},"Meta":{"zone":"eu-1a"}}`, ""},
		{"an agent before 1.17", `{"Config":{"Server":false},"Meta":{"zone":"eu-1a"}}`, "eu-1a"},
		{"none", `{"Config":{"Server":false},"Meta":{}}`, ""},
		{"a server far away", `{"Config":{"Server":true},"Meta":{"zone":"eu-1a"}}`, ""},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(t)
				f.body = row.self
				zone := f.client(t, consul.Agent{}).FindZone(t.Context(), func(err error) { t.Error(err) })
				if zone != row.want || len(f.requests) != 1 {
					t.Errorf("%q after %d requests, want %q after one", zone, len(f.requests), row.want)
				}
			})
		})
	}
}

func TestZoneIsAskedForUntilAnswered(t *testing.T) {
	rows := []struct {
		name         string
		status, fail int
		kind         Kind
		least, most  time.Duration
	}{
		{"no leader, 5 times", http.StatusInternalServerError, 5, Server, 5 * time.Second, time.Minute},
		{"denied twice: a token without agent:read is not tried again and again", http.StatusForbidden, 2, Denied, 2 * denialRest, 2*denialRest + time.Minute},
		{"refused once", http.StatusNotFound, 1, Refused, denialRest, denialRest + time.Minute},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(t)
				f.body = `{"Meta":{"zone":"a"}}`
				left := row.fail
				f.override = func(w http.ResponseWriter, _ *http.Request) bool {
					if left == 0 {
						return false
					}
					left--
					w.WriteHeader(row.status)
					return true
				}
				failed := 0
				start := time.Now()
				zone := f.client(t, consul.Agent{}).FindZone(t.Context(), func(err error) {
					failed++
					if KindOf(err) != row.kind {
						t.Errorf("%v, want %s", err, row.kind)
					}
				})
				if took := time.Since(start); zone != "a" || failed != row.fail || took < row.least || took > row.most {
					t.Errorf("%q after %d failures and %v; want a after %d and %v to %v", zone, failed, took, row.fail, row.least, row.most)
				}
			})
		})
	}
}

func TestNear(t *testing.T) {
	rows := map[string]bool{
		"127.0.0.1:8500": true, "localhost:8500": true, "https://[::1]:8501": true, "unix:///run/consul.sock": true,
		"10.0.0.1:8500": false, "https://consul.example:8501": false, "http://localhost.example:8500": false,
	}
	for text, want := range rows {
		a, err := parseAddress(text, false)
		if err != nil {
			t.Fatal(err)
		}
		if a.near() != want {
			t.Errorf("%s: near = %v", text, !want)
		}
	}
}

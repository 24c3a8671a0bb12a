package wire

import (
	"net/http"
	"net/url"
	"slices"
	"testing"
)

type roundTripFunc func(*http.Request) (*http.Response, error)

func (f roundTripFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// A retry must reach another instance, and a RoundTripper must leave its request alone.
func TestRoundRobinTakesTheNextAddressEachTime(t *testing.T) {
	var hosts []string
	r := &roundRobin{turns: turns{n: 2}, addrs: []string{"a:1", "b:2"}, base: roundTripFunc(func(r *http.Request) (*http.Response, error) {
		hosts = append(hosts, r.URL.Host)
		return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
	})}
	req := &http.Request{URL: &url.URL{Scheme: "http", Host: "echo", Path: "/"}}
	for range 3 {
		resp, err := r.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
	}
	if want := []string{"b:2", "a:1", "b:2"}; !slices.Equal(hosts, want) {
		t.Errorf("went to %v, want %v", hosts, want)
	}
	if req.URL.Host != "echo" {
		t.Errorf("the request was changed: %s", req.URL)
	}
}

func TestAWrongPolicyIsToldNotIgnored(t *testing.T) {
	for _, document := range []string{"timeout: -1s", "retry: {max_attempts: 99}", "no_such_field: 1"} {
		w := way{By: byOnehop, Addrs: []string{"127.0.0.1:1"}, Policy: document}
		if _, err := w.open(); err == nil {
			t.Errorf("%q was taken", document)
		}
	}
}

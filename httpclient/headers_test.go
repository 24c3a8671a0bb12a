package httpclient_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/onehop-go/onehop"
	"github.com/onehop-go/onehop/httpclient"
	"github.com/onehop-go/onehop/policy"
	"github.com/onehop-go/onehop/resolver"
)

func TestDeadlineHeader(t *testing.T) {
	got := make(chan string, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		got <- r.Header.Get("X-Envoy-Expected-Rq-Timeout-Ms")
	}))
	defer srv.Close()
	hop := newHop(t, policy.Default(), srv.Listener.Addr().String())
	c := httpclient.New(hop, httpclient.WithDeadlineHeader())
	for _, timeout := range []time.Duration{time.Minute, 0} {
		req, err := http.NewRequestWithContext(onehop.With(t.Context(), onehop.Timeout(timeout)), http.MethodGet, "http://svc/", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close() //nolint:errcheck // empty
		left, _ := strconv.Atoi(<-got)
		if timeout == 0 && left != 0 || timeout > 0 && (left <= 0 || left > 60_000) {
			t.Errorf("timeout %s: the header says %d ms", timeout, left)
		}
		if req.Header.Get("X-Envoy-Expected-Rq-Timeout-Ms") != "" {
			t.Error("the caller's request was changed")
		}
	}
}

// The key of the ring comes from the header where the code gives none: one key, one instance.
func TestHashFieldPlacesTheCall(t *testing.T) {
	var mu sync.Mutex
	by := map[string]map[string]bool{}
	addrs := make([]string, 4)
	for i := range addrs {
		srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			user := r.Header.Get("X-User")
			if by[user] == nil {
				by[user] = map[string]bool{}
			}
			by[user][strconv.Itoa(i)] = true
		}))
		defer srv.Close()
		addrs[i] = srv.Listener.Addr().String()
	}
	p := policy.Default()
	p.LoadBalancing.Algorithm = policy.RingHash
	hop, err := onehop.New(onehop.WithHashField("x-user"),
		onehop.WithResolver(resolver.Static{"svc": addrs}), onehop.WithPolicies(policy.Static{"svc": p}))
	if err != nil {
		t.Fatal(err)
	}
	defer hop.Close() //nolint:errcheck // nothing in flight
	c := httpclient.New(hop)
	for n := range 120 {
		req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://svc/", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-User", strconv.Itoa(n%12))
		resp, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close() //nolint:errcheck // empty
	}
	used := map[string]bool{}
	for user, instances := range by {
		if len(instances) != 1 {
			t.Errorf("user %s went to instances %v; want one", user, instances)
		}
		for i := range instances {
			used[i] = true
		}
	}
	if len(used) < 2 {
		t.Errorf("12 users all went to %v", used)
	}
}

package httpclient_test

import (
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/onehop-go/onehop/httpclient"
	"github.com/onehop-go/onehop/policy"
)

// A request that is itself its caller's retry, and says so, is not repeated after a 503.
func TestMarkedRetriesAreNotMultiplied(t *testing.T) {
	for header, want := range map[string]int32{"": 3, "2": 1} {
		var attempts atomic.Int32
		addr := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			attempts.Add(1)
			w.WriteHeader(http.StatusServiceUnavailable)
		})
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://svc/", nil)
		if err != nil {
			t.Fatal(err)
		}
		if header != "" {
			req.Header.Set("X-Envoy-Attempt-Count", header)
		}
		resp, err := httpclient.New(newHop(t, policy.Default(), addr)).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if err := resp.Body.Close(); err != nil {
			t.Error(err)
		}
		if resp.StatusCode != http.StatusServiceUnavailable || attempts.Load() != want {
			t.Errorf("attempt count %q: status %d after %d attempts, want %d", header, resp.StatusCode, attempts.Load(), want)
		}
	}
}

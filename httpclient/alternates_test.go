package httpclient_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/onehop-go/onehop/httpclient"
	"github.com/onehop-go/onehop/internal/consultest"
	"github.com/onehop-go/onehop/policy"
)

// An instance whose first address is dead is called at its second, a POST as well: nothing failed that the call could see.
func TestSecondAddressOfAnInstance(t *testing.T) {
	dead := consultest.Addr(t)
	addr := serve(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.Header.Get("X-Envoy-Attempt-Count"), r.Host)
	})
	c := httpclient.New(newHop(t, policy.Default(), dead+","+addr))
	for range 3 {
		if status, body := get(t, c, "http://svc/"); status != http.StatusOK || body != "svc" {
			t.Errorf("%d %q", status, body)
		}
		resp, err := c.Post("http://svc/", "text/plain", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
	}
}

package faults

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onehop-go/onehop/policy"
)

// Endpoints that failed one after the other are avoided for a minute, though they are well again. When the last one left
// fails, calls that may be repeated are served by them: no idempotent call fails while anybody is well.
func TestTheLastOneLeftFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(t)
		list, hosts := fleet(m, 4, 10*time.Millisecond)
		p := policy.Default()
		p.CircuitBreaker.OpenFor = time.Minute
		var e eye
		tr := drive(t, m.web(static(t, p, list, e.option())), "http://pay/", 100)
		time.Sleep(10 * time.Second)
		for i := range hosts {
			if len(e.openings()) != i {
				t.Fatalf("%d of %d are avoided", len(e.openings()), i)
			}
			m.set(func() {
				hosts[i].handler = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }
			})
			for s := 0; s < 5 || s < 15 && len(e.openings()) == i; s++ { // one that has failed twice is hardly asked a third time
				time.Sleep(time.Second)
			}
			m.set(func() { hosts[i].handler = after(10 * time.Millisecond) })
		}
		all := tr.stop()
		all.wantNoneFailed(t)
	})
}

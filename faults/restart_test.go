package faults

import (
	"context"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onehop-go/onehop"
	"github.com/onehop-go/onehop/policy"
	"github.com/onehop-go/onehop/resolver"
)

// catalog is a scripted agent's list under an index, served as Consul does: a query with that index waits for another
// list, and one with an index above it waits its whole time, through every change.
type catalog struct {
	mu      sync.Mutex
	index   int
	body    string
	changed chan struct{} // closed when there is another list
	cut     chan struct{} // closed when the connections break
	above   int           // queries with an index above the list's
	plain   int           // queries without one
}

func newCatalog(index int, body string) *catalog {
	return &catalog{index: index, body: body, changed: make(chan struct{}), cut: make(chan struct{})}
}

// serve is the script of a fake agent.
func (c *catalog) serve(w http.ResponseWriter, r *http.Request, n int) {
	asked, _ := strconv.Atoi(r.URL.Query().Get("index"))
	c.mu.Lock()
	index, changed, cut := c.index, c.changed, c.cut
	switch {
	case asked > index:
		c.above++
		changed = nil
	case asked == 0:
		c.plain++
	}
	c.mu.Unlock()
	if asked >= index {
		select {
		case <-changed:
		case <-cut:
			broken(w, r, n)
		case <-r.Context().Done():
			return
		}
	}
	c.mu.Lock()
	index, body := c.index, c.body
	c.mu.Unlock()
	list(strconv.Itoa(index), body)(w, r, n)
}

// put is a new list: those who wait for one get it.
func (c *catalog) put(index int, body string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.index, c.body = index, body
	close(c.changed)
	c.changed = make(chan struct{})
}

// restart breaks every query that waits, and comes back with another list.
func (c *catalog) restart(index int, body string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.index, c.body = index, body
	close(c.cut)
	c.cut = make(chan struct{})
}

// ledger is the queries with an index above the list's, and those without any.
func (c *catalog) ledger() (above, plain int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.above, c.plain
}

// watched is traffic to two instances known from a catalog of index 100, with a third that is not yet listed.
func watched(t *testing.T) (c *catalog, e *eye, tr *traffic, servers []*server) {
	t.Helper()
	servers = newServers(t, 3)
	c, e = newCatalog(100, health("pay", addrs(servers[:2]))), &eye{}
	f := newFakeAgent(t, c.serve)
	hop := newHop(t, onehop.WithConsul(f.agent()), onehop.WithPolicies(policy.Static{}), e.option())
	tr = drive(t, webOf(t, hop), "http://pay/", 50)
	e.awaitListed(t, 2)
	await(t, "the query blocks", func() bool { return f.asked() >= 2 })
	return c, e, tr, servers
}

// seenAfter waits until n instances are known, and judges by the catalog's ledger that no query asked beyond its index.
func (c *catalog) seenAfter(t *testing.T, e *eye, n int, since time.Time) {
	t.Helper()
	above := 0
	await(t, "the new list", func() bool { above, _ = c.ledger(); return above > 0 || e.listed() == n })
	seen := time.Since(since)
	if above > 0 {
		t.Fatalf("%d queries with the index of before: Consul would hold them through every change", above)
	}
	figuref(t, "seen after %s", seen.Round(time.Millisecond))
	if seen > 10*time.Second { // a second at most until the first try again, and a loaded machine; below it is exact
		t.Errorf("seen after %s", seen)
	}
}

// The agent comes back with an index far below the one it had: the old one would block through real changes.
func TestRow5IndexBehindAfterRestart(t *testing.T) {
	t.Parallel()
	row(t, 5)
	c, e, tr, servers := watched(t)
	start := time.Now()
	c.restart(15, health("pay", addrs(servers)))
	c.seenAfter(t, e, 3, start)
	tr.stop().wantNoneFailed(t)
}

// A snapshot is restored under a query that waits: it is answered with an index below the one it asked with.
func TestRow5IndexFallsInAnswer(t *testing.T) {
	t.Parallel()
	row(t, 5)
	c, e, tr, servers := watched(t)
	_, plain := c.ledger()
	c.put(15, health("pay", addrs(servers[:2])))
	await(t, "a query without an index", func() bool { above, n := c.ledger(); return above > 0 || n > plain })
	start := time.Now()
	c.put(16, health("pay", addrs(servers)))
	c.seenAfter(t, e, 3, start)
	tr.stop().wantNoneFailed(t)
}

// A restart breaks one read, and the value has changed under the same index. In virtual time, so that the second is exact.
func TestRow71SeenWithinASecond(t *testing.T) {
	t.Parallel()
	row(t, 71)
	two := []string{"192.0.2.1:80", "192.0.2.2:80"}
	lists := []string{health("pay", two), health("pay", append(two, "192.0.2.3:80"))}
	f := newFakeAgent(t, list("7", lists[0]))
	synctest.Test(t, func(t *testing.T) {
		troubled, published := make(chan time.Time, 10), make(chan time.Time, 10)
		listed := 0
		hop := newHop(t, onehop.WithConsul(f.agent()), onehop.WithPolicies(policy.Static{}), onehop.WithObserver(onehop.Observer{
			Resolved: func(_ context.Context, _ resolver.Target, s resolver.Snapshot, err error) {
				switch n := len(s.Endpoints); {
				case err != nil:
					troubled <- time.Now()
				case n != listed:
					listed = n
					published <- time.Now()
				}
			},
		}))
		hop.Upstream("pay")
		<-published
		var slowest time.Duration
		const restarts = 200
		for i := range restarts {
			time.Sleep(10 * time.Second)
			f.script(func(w http.ResponseWriter, r *http.Request, n int) {
				f.script(list("7", lists[(i+1)%2]))
				broken(w, r, n)
			})
			down := <-troubled // the clock stood while the answer was on its way
			slowest = max(slowest, (<-published).Sub(down))
		}
		figuref(t, "%d restarts, seen after %s at most", restarts, slowest.Round(time.Millisecond))
		if slowest > time.Second+time.Millisecond { // the pace rounds
			t.Errorf("seen after %s", slowest)
		}
	})
}

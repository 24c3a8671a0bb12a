package faults

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/onehop-go/onehop"
	"github.com/onehop-go/onehop/policy"
	"github.com/onehop-go/onehop/resolver"
)

// eye is an observer that keeps what it was told.
type eye struct {
	mu        sync.Mutex
	snapshots []resolver.Snapshot
	troubles  []error // of discovery
	decisions []decision
	revisions []revision
	attempts  []onehop.Attempt
	calls     []onehop.Call
}

// decision is one of the engine's, and when it was told.
type decision struct {
	onehop.Decision
	at time.Time
}

// revision is one word of a policy source.
type revision struct {
	policy.Revision
	err error
	at  time.Time
}

func (e *eye) option() onehop.Option {
	return onehop.WithObserver(onehop.Observer{
		Resolved: func(_ context.Context, _ resolver.Target, s resolver.Snapshot, err error) {
			e.mu.Lock()
			defer e.mu.Unlock()
			if err != nil {
				e.troubles = append(e.troubles, err)
			} else {
				e.snapshots = append(e.snapshots, s)
			}
		},
		Configured: func(_ context.Context, _ string, r policy.Revision, err error) {
			e.mu.Lock()
			defer e.mu.Unlock()
			e.revisions = append(e.revisions, revision{r, err, time.Now()})
		},
		Decided: func(_ context.Context, d onehop.Decision) {
			e.mu.Lock()
			defer e.mu.Unlock()
			e.decisions = append(e.decisions, decision{d, time.Now()})
		},
		AttemptDone: func(_ context.Context, a onehop.Attempt) {
			e.mu.Lock()
			defer e.mu.Unlock()
			e.attempts = append(e.attempts, a)
		},
		CallDone: func(_ context.Context, c onehop.Call) {
			e.mu.Lock()
			defer e.mu.Unlock()
			e.calls = append(e.calls, c)
		},
	})
}

// look runs f on what was seen so far.
func (e *eye) look(f func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	f()
}

// listed is the number of endpoints of the last snapshot; -1: none has come.
func (e *eye) listed() (n int) {
	e.look(func() {
		n = -1
		if k := len(e.snapshots); k > 0 {
			n = len(e.snapshots[k-1].Endpoints)
		}
	})
	return n
}

// awaitListed waits until discovery has published n endpoints.
func (e *eye) awaitListed(t *testing.T, n int) {
	t.Helper()
	await(t, "the list of endpoints", func() bool { return e.listed() == n })
}

// decided counts the decisions of a kind.
func (e *eye) decided(action string) (n int) {
	e.look(func() {
		for _, d := range e.decisions {
			if d.Action == action {
				n++
			}
		}
	})
	return n
}

// openings counts, by address, how often breakers opened.
func (e *eye) openings() map[string]int {
	by := map[string]int{}
	e.look(func() {
		for _, d := range e.decisions {
			if d.Action == "open" {
				by[d.Endpoint.Addr]++
			}
		}
	})
	return by
}

// openShare is the share of n endpoints' time, from begun until now, in which their breakers were open.
func (e *eye) openShare(begun time.Time, n int) float64 {
	sum := time.Duration(0)
	since := map[string]time.Time{}
	e.look(func() {
		for _, d := range e.decisions {
			at, open := since[d.Endpoint.Addr]
			switch {
			case d.Action == "open" && !open:
				since[d.Endpoint.Addr] = d.at
			case d.Action == "close" && open:
				sum += d.at.Sub(at)
				delete(since, d.Endpoint.Addr)
			}
		}
	})
	for _, at := range since {
		sum += time.Since(at)
	}
	return sum.Seconds() / time.Since(begun).Seconds() / float64(n)
}

// touched counts the attempts that were made at addr.
func (e *eye) touched(addr string) (n int) {
	e.look(func() {
		for i := range e.attempts {
			if e.attempts[i].Endpoint.Addr == addr {
				n++
			}
		}
	})
	return n
}

// troubled is the number of failed reads that discovery told, and the last.
func (e *eye) troubled() (n int, last error) {
	e.look(func() {
		if n = len(e.troubles); n > 0 {
			last = e.troubles[n-1]
		}
	})
	return n, last
}

// inForce is the last good revision.
func (e *eye) inForce() (r policy.Revision, ok bool) {
	e.look(func() {
		for _, x := range e.revisions {
			if x.err == nil {
				r, ok = x.Revision, true
			}
		}
	})
	return r, ok
}

// refusals are the errors of the policy source.
func (e *eye) refusals() (all []error) {
	e.look(func() {
		for _, x := range e.revisions {
			if x.err != nil {
				all = append(all, x.err)
			}
		}
	})
	return all
}

// settings counts the good revisions.
func (e *eye) settings() (n int) {
	e.look(func() {
		for _, x := range e.revisions {
			if x.err == nil {
				n++
			}
		}
	})
	return n
}

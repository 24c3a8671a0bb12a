package heavy

import (
	"context"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/onehop-go/onehop"
	"github.com/onehop-go/onehop/consul"
	"github.com/onehop-go/onehop/internal/consultest"
	"github.com/onehop-go/onehop/policy"
	"github.com/onehop-go/onehop/resolver"
)

// far is a client whose Consul, a real one, is behind a proxy.
type far struct {
	*proxy
	agent *consultest.Agent
	web   *http.Client

	registered int // instances

	mu       sync.Mutex
	listed   int
	troubles int
	last     error
}

// wait is how long a query blocks; an answer has 10 s more.
const wait = time.Second

func newFar(t *testing.T) *far {
	t.Helper()
	x := &far{agent: consultest.Start(t, consultest.WithOwn())}
	x.proxy = before(t, x.agent.Addr)
	x.register(t, 3)
	x.web = newWeb(t, onehop.WithConsul(consul.Agent{Address: x.addr, Wait: wait}), onehop.WithPolicies(policy.Static{}),
		onehop.WithObserver(onehop.Observer{Resolved: func(_ context.Context, _ resolver.Target, s resolver.Snapshot, err error) {
			x.mu.Lock()
			defer x.mu.Unlock()
			if err != nil {
				x.troubles, x.last = x.troubles+1, err
			} else {
				x.listed = len(s.Endpoints)
			}
		}}))
	wantNoneFailed(t, calls(x.web, 50))
	x.awaitListed(t, 3)
	return x
}

// register adds n instances.
func (x *far) register(t *testing.T, n int) {
	t.Helper()
	x.registered += n
	for range n {
		b := newBackend(t, 'x', 10)
		port := 0
		if _, err := fmt.Sscanf(b.addr, "127.0.0.1:%d", &port); err != nil {
			t.Fatal(err)
		}
		x.agent.Register(t, consultest.Service{ID: fmt.Sprint("pay-", port), Name: "pay", Port: port})
	}
}

func (x *far) state() (listed, troubles int, last error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.listed, x.troubles, x.last
}

func (x *far) awaitListed(t *testing.T, n int) {
	t.Helper()
	await(t, fmt.Sprint(n, " instances"), func() bool { listed, _, _ := x.state(); return listed == n })
}

// awaitTrouble waits until a failed read is told, and judges that it says of whom.
func (x *far) awaitTrouble(t *testing.T) {
	t.Helper()
	_, before, _ := x.state()
	await(t, "a failed read is told", func() bool {
		calls(x.web, 10)
		_, n, _ := x.state()
		return n > before
	})
	if _, _, err := x.state(); !strings.Contains(err.Error(), x.addr) {
		t.Errorf("%v does not name Consul's address", err)
	}
}

// recover cures the proxy and waits until all instances are known.
func (x *far) recover(t *testing.T) {
	t.Helper()
	x.register(t, 1)
	x.cure()
	start := time.Now()
	x.awaitListed(t, x.registered)
	figuref(t, "cured, a change made meanwhile is seen after %s", time.Since(start).Round(10*time.Millisecond))
	wantNoneFailed(t, calls(x.web, 100))
}

func TestRow11AnswerDrips(t *testing.T) {
	row(t, 11, "Consul's answer drips for ever (toxiproxy slicer: a byte each 100 ms)", "aborted, LKG; goroutines flat")
	x := newFar(t)
	calm := runtime.NumGoroutine()
	x.poison("slicer", attributes{"average_size": 1, "size_variation": 0, "delay": 100_000})
	x.register(t, 1)
	most := 0
	_, before, _ := x.state()
	await(t, "the drip is given up", func() bool {
		wantNone(t, calls(x.web, 10))
		most = max(most, runtime.NumGoroutine())
		_, n, _ := x.state()
		return n > before
	})
	listed, _, _ := x.state()
	figuref(t, "%d goroutines before, %d at most while it drips; %d instances are known", calm, most, listed)
	if most > calm+30 {
		t.Errorf("%d goroutines while it drips, %d before", most, calm)
	}
	if listed != 3 {
		t.Errorf("%d instances; the last known 3 stay", listed)
	}
	x.recover(t)
}

// wantNone fails t for each failed call, without a figure.
func wantNone(t *testing.T, all []answer) {
	t.Helper()
	for _, a := range all {
		if a.err != nil {
			t.Error(a.err)
		}
	}
}

func TestRow2ConsulIsReset(t *testing.T) {
	row(t, 2, "every connection to Consul is reset (toxiproxy reset_peer)", "F0; a change is seen when it is over")
	x := newFar(t)
	x.poison("reset_peer", attributes{"timeout": 0})
	x.awaitTrouble(t)
	wantNoneFailed(t, calls(x.web, 200))
	x.recover(t)
}

func TestRow2ConsulIsSilent(t *testing.T) {
	row(t, 2, "Consul takes everything and answers nothing (toxiproxy timeout)", "F0; a change is seen when it is over")
	x := newFar(t)
	x.poison("timeout", attributes{"timeout": 0})
	x.awaitTrouble(t)
	wantNoneFailed(t, calls(x.web, 200))
	x.recover(t)
}

func TestRow2ConsulIsFar(t *testing.T) {
	row(t, 2, "Consul is 400 ms away, at 20 KB/s (toxiproxy latency, bandwidth)", "updates go on, no failure is told")
	x := newFar(t)
	_, troubles, _ := x.state()
	x.poison("latency", attributes{"latency": 400, "jitter": 100})
	x.poison("bandwidth", attributes{"rate": 20})
	for i := range 3 {
		start := time.Now()
		x.register(t, 1)
		x.awaitListed(t, 4+i)
		figuref(t, "update %d seen after %s", i+1, time.Since(start).Round(10*time.Millisecond))
	}
	if _, n, err := x.state(); n != troubles {
		t.Errorf("%d failures were told: %v", n-troubles, err)
	}
	wantNoneFailed(t, calls(x.web, 100))
}

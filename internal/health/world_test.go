package health

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onehop-go/onehop/policy"
	"github.com/onehop-go/onehop/resolver"
)

// world is a set under a test's hand, inside a bubble of virtual time: gobreaker reads time.Now.
type world struct {
	*Set
	t       *testing.T
	braking bool
	mu      sync.Mutex
	told    []string
	work    sync.WaitGroup
}

func members(n int) []resolver.Endpoint {
	list := make([]resolver.Endpoint, n)
	for i := range list {
		list[i] = resolver.Endpoint{Addr: fmt.Sprintf("e%d:80", i)}
	}
	return list
}

func settings() Settings {
	p := policy.Default()
	return Settings{CircuitBreaker: p.CircuitBreaker, LoadBalancing: p.LoadBalancing, Apply: true}
}

// inWorld runs f with a set of n endpoints.
func inWorld(t *testing.T, n int, f func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		w := &world{t: t}
		w.Set = NewSet(Env{
			Go:      func(f func(context.Context)) bool { w.work.Go(func() { f(ctx) }); return true },
			Braking: func(int) bool { return w.braking },
			Told: func(e *Endpoint, c Change) {
				w.mu.Lock()
				defer w.mu.Unlock()
				w.told = append(w.told, fmt.Sprint(e.Addr(), " ", [...]string{"opened", "closed", "drained"}[c]))
			},
		}, settings())
		w.Update(Now(), Tier{Members: members(n)})
		f(w)
		cancel()
		w.work.Wait()
	})
}

func (w *world) e(i int) *Endpoint { return w.View().All[i] }

// report is an attempt of 10 ms at e that ends now.
func (w *world) report(e *Endpoint, o Outcome) Outcome {
	return w.Report(e, Report{Outcome: o, Start: Now() - 10*time.Millisecond, Now: Now()})
}

// fail reports n failures, the last of them 100 ms after the first at least.
func (w *world) fail(e *Endpoint, n int) {
	for range n {
		time.Sleep(spread / 4)
		w.report(e, Failed)
	}
}

// trip opens e by its share.
func (w *world) trip(e *Endpoint) {
	w.t.Helper()
	w.fail(e, 8)
	if e.Available() {
		w.t.Fatalf("%s did not open", e.Addr())
	}
}

var errDial = errors.New("connection refused")

type dialTimeout struct{}

func (dialTimeout) Error() string { return "dial timed out" }
func (dialTimeout) Timeout() bool { return true }

// refuse reports a refused attempt that redial may confirm, and waits for that.
func (w *world) refuse(e *Endpoint, redial func(context.Context) error) {
	w.Report(e, Report{Outcome: Refused, Start: Now(), Now: Now(), Redial: redial})
	synctest.Wait()
}

func refusing(context.Context) error  { return errDial }
func accepting(context.Context) error { return nil }

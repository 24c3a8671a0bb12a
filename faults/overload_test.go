package faults

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onehop-go/onehop"
	"github.com/onehop-go/onehop/policy"
	"github.com/onehop-go/onehop/resolver"
)

// fifo is a server with workers that serve one queue in order and notice no cancel: the work of callers who are gone is
// what keeps an overload alive after its cause.
type fifo struct {
	queue chan chan struct{}
	takes atomic.Int64 // nanoseconds of a job
	stop  chan struct{}
	wg    sync.WaitGroup
}

func newFIFO(workers int, takes time.Duration) *fifo {
	s := &fifo{queue: make(chan chan struct{}, 1<<20), stop: make(chan struct{})}
	s.takes.Store(int64(takes))
	for range workers {
		s.wg.Go(func() {
			for {
				select {
				case done := <-s.queue:
					time.Sleep(time.Duration(s.takes.Load()))
					close(done)
				case <-s.stop:
					return
				}
			}
		})
	}
	return s
}

func (s *fifo) serve(ctx context.Context) error {
	done := make(chan struct{})
	s.queue <- done
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *fifo) close() { close(s.stop); s.wg.Wait() }

// Ten servers at nine tenths of their capacity, which falls to 40 % for ten seconds.
func TestRow66CapacityFalls(t *testing.T) {
	t.Parallel()
	row(t, 66)
	synctest.Test(t, func(t *testing.T) {
		const takes = 20 * time.Millisecond
		servers := map[string]*fifo{}
		var list []string
		for range 10 {
			a := "192.0.2." + string(rune('0'+len(list))) + ":80"
			s := newFIFO(2, takes)
			t.Cleanup(s.close)
			list, servers[a] = append(list, a), s
		}
		p := policy.Default()
		p.AttemptTimeout = 200 * time.Millisecond
		const clients, load = 20, 900 // of 1000 a second
		var all []*traffic
		for range clients {
			up := static(t, p, list).Upstream("pay")
			all = append(all, driveBy(t, load/clients, func(ctx context.Context) outcome {
				ctx, cancel := context.WithTimeout(ctx, time.Second)
				defer cancel()
				_, err := onehop.Do(ctx, up, func(ctx context.Context, ep resolver.Endpoint) (int, error) {
					return 0, servers[ep.Addr].serve(ctx)
				}, onehop.Idempotent())
				return outcome{err: err}
			}))
		}
		share := func(d time.Duration) float64 {
			at := make([]int, clients)
			for i, tr := range all {
				at[i] = tr.count()
			}
			time.Sleep(d)
			ok, n := 0, 0
			for i, tr := range all {
				s := tr.since(at[i])
				ok, n = ok+len(s)-s.failed(), n+len(s)
			}
			return float64(ok) / float64(max(1, n))
		}
		time.Sleep(5 * time.Second)
		before := share(5 * time.Second)
		for _, s := range servers {
			s.takes.Store(int64(takes * 10 / 4))
		}
		during := share(10 * time.Second)
		for _, s := range servers {
			s.takes.Store(int64(takes))
		}
		share(10 * time.Second)
		after := share(5 * time.Second)
		for _, tr := range all {
			tr.stop()
		}
		figuref(t, "goodput %.1f %% before, %.1f %% at 40 %% capacity, %.1f %% 10 s after", 100*before, 100*during, 100*after)
		if before < .99 || after < .95 {
			t.Errorf("goodput %.1f %% before, %.1f %% 10 s after; want 95", 100*before, 100*after)
		}
	})
}

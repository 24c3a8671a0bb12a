package consulapi

import (
	"context"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestPaceTakesTwoAtOnceThenOneASecond(t *testing.T) {
	p, now := newPace(), time.Unix(1000, 0)
	for i, want := range []time.Duration{0, 0, time.Second, 2 * time.Second} {
		if got := p.take(now); got != want {
			t.Errorf("request %d waits %v, want %v", i+1, got, want)
		}
	}
	now = now.Add(10 * time.Second)
	for i, want := range []time.Duration{0, 0, time.Second} {
		if got := p.take(now); got != want {
			t.Errorf("after a pause, request %d waits %v, want %v", i+1, got, want)
		}
	}
}

func TestBackoff(t *testing.T) {
	for _, row := range []struct {
		failures int
		limit    time.Duration
		random   float64
		want     time.Duration
	}{
		{1, MaxBackoff, 0, 0},
		{1, MaxBackoff, 0.25, 250 * time.Millisecond},
		{2, MaxBackoff, 0, time.Second},
		{2, MaxBackoff, 0.5, 1250 * time.Millisecond},
		{3, MaxBackoff, 0, 2 * time.Second},
		{4, MaxBackoff, 0, 4 * time.Second},
		{5, MaxBackoff, 0, 8 * time.Second},
		{6, MaxBackoff, 0, 15 * time.Second},
		{1000, MaxBackoff, 0.999, 15*time.Second + 7492500*time.Microsecond},
		{1000, maxRedial, 0, 2 * time.Second},
	} {
		if got := Backoff(row.failures, row.limit, row.random); got != row.want {
			t.Errorf("after %d failures: %v, want %v", row.failures, got, row.want)
		}
	}
}

func TestCursor(t *testing.T) {
	now := time.Unix(1000, 0)
	var c cursor
	if c.next(now) != 0 {
		t.Error("the first read has an index")
	}
	for _, row := range []struct{ asked, got, want uint64 }{
		{0, 10, 10},  // a plain answer's index is right
		{10, 12, 12}, // forward
		{12, 12, 12}, // the wait ended
		{12, 5, 0},   // backwards: start again
		{0, 5, 5},    // a plain answer may be lower
		{0, 0, 1},    // never below 1
	} {
		c.took(now, row.asked, row.got, 0)
		if got := c.next(now); got != row.want {
			t.Errorf("asked %d, got %d: next %d, want %d", row.asked, row.got, got, row.want)
		}
	}
	c.took(now, 0, 10, 0)
	if c.next(now.Add(minReread-1)) != 10 || c.next(now.Add(minReread)) != 0 {
		t.Error("the full read is not due after 5 minutes")
	}
	c.failed()
	if c.next(now) != 0 {
		t.Error("a failed read leaves an index")
	}
}

func TestReadMeta(t *testing.T) {
	h := http.Header{}
	for k, v := range map[string]string{
		"X-Consul-Index": "7", "X-Consul-Results-Filtered-By-ACLs": "true", "X-Consul-Default-ACL-Policy": "allow",
		"X-Consul-LastContact": "1500", "Age": "9",
	} {
		h.Set(k, v)
	}
	m, err := readMeta(h)
	if want := (Meta{Index: 7, Filtered: true, Age: 9 * time.Second}); err != nil || m != want {
		t.Errorf("%+v, %v; want %+v", m, err, want)
	}
	h.Set("Age", "-3")
	if m, _ := readMeta(h); m.Age != 1500*time.Millisecond {
		t.Errorf("age %v", m.Age)
	}
	if m, err := readMeta(http.Header{}); KindOf(classify(err, 200, "", "")) != Malformed || !m.DefaultDeny {
		t.Errorf("no headers: %+v, %v", m, err)
	}
}

// TestThousandClientsComeBackSpread restarts an agent under a thousand watches: their first requests after it must not
// come together.
func TestThousandClientsComeBackSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const clients = 1000
		var mu sync.Mutex
		up, broken := true, make(chan struct{})
		var back []time.Time
		step := func(ctx context.Context, turn *Turn) error {
			if err := sleep(ctx, turn.watch.pace.take(time.Now()), nil); err != nil {
				return err
			}
			mu.Lock()
			wasUp, end := up, broken
			if wasUp {
				back = append(back, time.Now())
			}
			mu.Unlock()
			if !wasUp {
				return classify(errRefused, 0, "agent", "x")
			}
			timer := time.NewTimer(defaultWait + time.Duration(rand.Int64N(int64(defaultWait/16))))
			defer timer.Stop()
			select {
			case <-end:
				return classify(errRefused, 0, "agent", "x")
			case <-timer.C:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		ctx, cancel := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		for range clients {
			wg.Go(func() { (&Client{}).Watch(ctx, step, func(error) {}) })
		}
		time.Sleep(time.Minute)
		for _, outage := range []time.Duration{500 * time.Millisecond, 3 * time.Second, time.Minute} {
			mu.Lock()
			up = false
			close(broken)
			broken, back = make(chan struct{}), nil
			mu.Unlock()
			time.Sleep(outage)
			mu.Lock()
			up = true
			start := time.Now()
			mu.Unlock()
			time.Sleep(4 * time.Second)
			mu.Lock()
			peak, last := busiest(start, back)
			if mean := float64(len(back)) / last.Sub(start).Seconds() / 10; len(back) < clients || float64(peak) > 3*mean {
				t.Errorf("after %v: %d requests in %v, at most %d in 100 ms, %.0f on average", outage, len(back), last.Sub(start), peak, mean)
			} else {
				t.Logf("after %v: %d requests in %v, at most %d in 100 ms, %.0f on average", outage, len(back), last.Sub(start), peak, mean)
			}
			mu.Unlock()
			time.Sleep(time.Minute)
		}
		cancel()
		wg.Wait()
	})
}

// busiest is the most requests in 100 ms, and the time of the last one.
func busiest(start time.Time, at []time.Time) (peak int, last time.Time) {
	slots := map[time.Duration]int{}
	for _, a := range at {
		slot := a.Sub(start) / (100 * time.Millisecond)
		slots[slot]++
		peak = max(peak, slots[slot])
		if a.After(last) {
			last = a
		}
	}
	return peak, last
}

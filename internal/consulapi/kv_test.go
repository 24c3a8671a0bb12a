package consulapi

import (
	"context"
	"sync"
	"testing"

	"github.com/onehop-go/onehop/consul"
	"github.com/onehop-go/onehop/internal/consultest"
)

// event is one call of publish.
type event struct {
	value  string
	exists bool
	err    error
}

// watchKey runs WatchKey until the test ends, and gives its events.
func watchKey(t *testing.T, c *Client, key string) <-chan event {
	t.Helper()
	events := make(chan event, 1000)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		c.WatchKey(ctx, key, func(kv KeyValue, err error) { events <- event{string(kv.Value), kv.Exists, err} })
	})
	t.Cleanup(func() { cancel(); wg.Wait() })
	return events
}

func acquire(t *testing.T, a consul.Agent) *Client {
	t.Helper()
	c, err := Acquire(a)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Release)
	return c
}

func next(t *testing.T, events <-chan event) event {
	t.Helper()
	select {
	case e := <-events:
		return e
	case <-t.Context().Done():
		t.Fatal("no event before the test's end")
		return event{}
	}
}

func TestWatchKeyOnConsul(t *testing.T) {
	agent := consultest.Start(t)
	c := acquire(t, agent.Agent())
	events := watchKey(t, c, "onehop/test/watch")
	if e := next(t, events); e.exists || e.err != nil {
		t.Fatalf("absent key: %+v", e)
	}
	agent.KVPut(t, "onehop/test/watch", "one")
	if e := next(t, events); e.value != "one" || !e.exists || e.err != nil {
		t.Fatalf("after put: %+v", e)
	}
	late := watchKey(t, c, "onehop/test/watch")
	if e := next(t, late); e.value != "one" {
		t.Fatalf("late joiner: %+v", e)
	}
	agent.KVPut(t, "onehop/test/watch", "two")
	if e := next(t, events); e.value != "two" {
		t.Fatalf("after second put: %+v", e)
	}
	if e := next(t, late); e.value != "two" {
		t.Fatalf("late joiner after second put: %+v", e)
	}
	agent.KVDelete(t, "onehop/test/watch")
	if e := next(t, events); e.exists || e.err != nil {
		t.Fatalf("after delete: %+v", e)
	}
}

package consulapi

import (
	"context"
	"strings"
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

func TestWatchKeyWithoutRights(t *testing.T) {
	agent := consultest.Start(t, consultest.WithACL())
	agent.KVPut(t, "onehop/test/secret", "hush")
	anonymous := acquire(t, consul.Agent{Address: agent.Addr})
	e := next(t, watchKey(t, anonymous, "onehop/test/secret"))
	if !IsDenied(e.err) || !strings.Contains(e.err.Error(), "onehop/test/secret") || strings.Contains(e.err.Error(), "hush") {
		t.Errorf("anonymous: %+v", e)
	}
	allowed := acquire(t, agent.Agent())
	if e := next(t, watchKey(t, allowed, "onehop/test/secret")); e.value != "hush" || e.err != nil {
		t.Errorf("allowed: %+v", e)
	}
}

func TestWatchKeyOfImpossibleKey(t *testing.T) {
	c := acquire(t, consul.Agent{Address: "127.0.0.1:1"})
	for _, key := range []string{"", "a//b", "../agent/self", "/a", "a/", "a\x00"} {
		if e := next(t, watchKey(t, c, key)); e.err == nil {
			t.Errorf("key %q: %+v", key, e)
		}
	}
}

func TestWatchKeyOutlivesTheAgent(t *testing.T) {
	agent := consultest.Start(t)
	c := acquire(t, agent.Agent())
	agent.KVPut(t, "onehop/test/away", "one")
	events := watchKey(t, c, "onehop/test/away")
	if e := next(t, events); e.value != "one" {
		t.Fatalf("%+v", e)
	}
	agent.Kill(t)
	if e := next(t, events); KindOf(e.err) != Unreachable || !strings.Contains(e.err.Error(), agent.Addr) {
		t.Fatalf("agent killed: %+v", e)
	}
	agent.Restart(t)
	agent.KVPut(t, "onehop/test/away", "two")
	for e := next(t, events); e.value != "two"; e = next(t, events) {
		if e.err == nil && e.exists {
			t.Fatalf("after the restart: %+v", e)
		}
	}
}

package consulapi

import (
	"context"
	"sync/atomic"
)

// keyWatch is the one loop of a key and what it last read.
type keyWatch struct {
	client *Client
	key    string
	state  atomic.Pointer[keyState]

	holds int // guarded by Client.mu
	stop  context.CancelFunc
	done  chan struct{}
}

// keyState is immutable.
type keyState struct {
	value   KeyValue
	values  int // rises with each value to publish; 0: nothing read yet
	err     error
	errors  int           // rises with each failed read
	changed chan struct{} // closed when a newer state stands
}

// joinKey starts the loop of key with its first watcher.
func (c *Client) joinKey(key string) *keyWatch {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := c.keys[key]
	if w == nil {
		// Not under a watcher's context: the loop belongs to all of them. leaveKey ends it.
		ctx, stop := context.WithCancel(context.Background())
		w = &keyWatch{client: c, key: key, stop: stop, done: make(chan struct{})}
		w.state.Store(&keyState{changed: make(chan struct{})})
		c.keys[key] = w
		go func() {
			defer close(w.done)
			c.Watch(ctx, w.turn, w.fail)
		}()
	}
	w.holds++
	return w
}

// leaveKey ends the loop with its last watcher, and only then: Consul holds the connection of a cancelled KV query until
// its wait ends.
func (c *Client) leaveKey(key string, w *keyWatch) {
	c.mu.Lock()
	w.holds--
	last := w.holds == 0
	if last {
		delete(c.keys, key)
	}
	c.mu.Unlock()
	if last {
		w.stop()
		<-w.done
	}
}

// update takes what was read. A value is published when it changed, and after an error.
func (w *keyWatch) update(kv KeyValue) {
	old := w.state.Load()
	if old.values > 0 && old.err == nil && old.value.same(kv) {
		return
	}
	w.replace(old, keyState{value: kv, values: old.values + 1, errors: old.errors})
}

func (w *keyWatch) fail(err error) {
	old := w.state.Load()
	w.replace(old, keyState{value: old.value, values: old.values, err: err, errors: old.errors + 1})
}

// replace is called by the loop alone.
func (w *keyWatch) replace(old *keyState, s keyState) {
	s.changed = make(chan struct{})
	w.state.Store(&s)
	close(old.changed)
}

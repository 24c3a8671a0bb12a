package consulapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"unicode"

	"github.com/hashicorp/consul/api"
)

// KeyValue is the state of one key.
type KeyValue struct {
	Value  []byte // never written to; empty when Exists is false
	Exists bool   // false: 404 read twice, the second time consistently
	Index  uint64 // ModifyIndex of the key; of the answer when the key is absent
}

// same compares contents: an index may rise while they do not change, and the other way round.
func (kv KeyValue) same(other KeyValue) bool {
	return kv.Exists == other.Exists && bytes.Equal(kv.Value, other.Value)
}

// WatchKey blocks until ctx ends and publishes the first value of one key and each change; changes that come faster than
// publish returns are one. An error says that the key could not be read (IsDenied: permission denied): the last value
// stays, and is published again when the key is read again. Equal keys of one Client share one blocking query, and who
// joins late gets the present state at once. publish is called from one goroutine. The caller holds the Client.
func (c *Client) WatchKey(ctx context.Context, key string, publish func(KeyValue, error)) {
	if err := checkKey(key); err != nil {
		publish(KeyValue{}, err)
		<-ctx.Done()
		return
	}
	w := c.joinKey(key) //nolint:contextcheck // the loop outlives the watcher that starts it
	defer c.leaveKey(key, w)
	var last keyState
	for ctx.Err() == nil {
		s := w.state.Load()
		if s.values != last.values {
			publish(s.value, nil)
		}
		if s.err != nil && s.errors != last.errors {
			publish(KeyValue{}, s.err)
		}
		last = *s
		select {
		case <-s.changed:
		case <-ctx.Done():
		}
	}
}

// checkKey refuses what Consul's router would redirect.
func checkKey(key string) error {
	if key == "" || strings.ContainsFunc(key, unicode.IsControl) {
		return fmt.Errorf("consul key %q: empty, or holds control characters", key)
	}
	for segment := range strings.SplitSeq(key, "/") {
		if segment == "" || segment == "." || segment == ".." {
			return fmt.Errorf("consul key %q: an empty or dot segment cannot be asked for", key)
		}
	}
	return nil
}

// maxValueBody is a value's 512 KiB in base64, with its frame.
const maxValueBody = 1 << 20

// turn is one round of the key's watch.
func (w *keyWatch) turn(ctx context.Context, t *Turn) error {
	var kv KeyValue
	subject := "key " + w.key
	read := func(q *api.QueryOptions) (err error) {
		kv, err = w.client.getKey(w.key, q)
		return err
	}
	meta, err := t.Next(ctx, subject, Stale, read)
	if err != nil {
		return err
	}
	if last := w.state.Load(); !kv.Exists && (last.values == 0 || last.value.Exists) {
		if meta, err = t.Confirm(ctx, subject, read); err != nil {
			return err
		}
	}
	if !kv.Exists {
		kv.Index = meta.Index
	}
	w.update(kv)
	return nil
}

// getKey reads one key; a missing one is no error.
func (c *Client) getKey(key string, q *api.QueryOptions) (KeyValue, error) {
	ex := exchangeOf(q)
	ex.limit = maxValueBody
	pair, _, err := c.api.KV().Get(key, q)
	switch {
	case err != nil:
		return KeyValue{}, err
	case pair == nil && ex.status == http.StatusNotFound:
		return KeyValue{}, nil
	case pair == nil || pair.Key != key:
		return KeyValue{}, MalformedError(errors.New("the answer holds another key, or none"))
	}
	return KeyValue{Value: pair.Value, Exists: true, Index: pair.ModifyIndex}, nil
}

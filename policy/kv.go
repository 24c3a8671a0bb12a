package policy

import (
	"context"
	"fmt"
	"strings"

	"github.com/onehop-go/onehop/consul"
	"github.com/onehop-go/onehop/internal/consulapi"
)

// defaultPrefix is where documents stand in Consul KV.
const defaultPrefix = "onehop/policy"

// KV watches Prefix/_default and Prefix/<service> in Consul KV, each by a blocking query of its own: a recursive one
// would send all policies to every process at each edit, and leaves out silently what a token may not read. The token
// needs key:read on both keys. The zero value works.
//
// A deleted key publishes the layer under it; a key that may not be read (403) or cannot be reached changes nothing.
type KV struct {
	Agent  consul.Agent
	Prefix string  // "": "onehop/policy"
	Base   *Policy // the layer under the documents; nil: Default(). Do not change it while it is watched
}

// Watch implements Source. It returns before ctx ends only when Agent, Base or service are wrong, which it publishes.
func (k KV) Watch(ctx context.Context, service string, publish func(Revision, error)) {
	const source = "consul"
	base, err := baseOf(k.Base)
	if err == nil {
		err = checkService(service)
	}
	if err != nil {
		fail(source, base, err, publish)
		return
	}
	client, err := consulapi.Acquire(k.Agent)
	if err != nil {
		fail(source, base, fmt.Errorf("policy: %w", err), publish)
		return
	}
	defer client.Release()
	newLayering(source, base, k.keys(service), publish).watch(ctx, func(ctx context.Context, key string, take func(reading)) {
		client.WatchKey(ctx, key, func(v consulapi.KeyValue, err error) { take(readingOf(v, err)) })
	})
}

// keys are those of the documents of a service, the lowest layer first.
func (k KV) keys(service string) []string {
	prefix := strings.Trim(k.Prefix, "/")
	if prefix == "" {
		prefix = defaultPrefix
	}
	keys := namesOf(service)
	for i, name := range keys {
		keys[i] = prefix + "/" + name
	}
	return keys
}

func readingOf(v consulapi.KeyValue, err error) reading {
	if err != nil {
		return reading{err: err, denied: consulapi.IsDenied(err)}
	}
	return reading{content: v.Value, exists: v.Exists, version: fmt.Sprintf(" at %d", v.Index)}
}

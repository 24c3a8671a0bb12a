package policy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// log is what was published, as lines.
type log struct {
	mu    sync.Mutex
	lines []string
}

func (l *log) publish(r Revision, err error) {
	line := fmt.Sprintf("timeout %s by %s", plain(r.Policy.Timeout), r.Origin)
	if len(r.Warnings) > 0 {
		line += fmt.Sprintf(" warnings %d", len(r.Warnings))
	}
	if err != nil {
		line += " ! " + strings.SplitN(err.Error(), "\n", 2)[0]
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, line)
}

// next returns the lines since the last call.
func (l *log) next() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	lines := l.lines
	l.lines = nil
	return lines
}

func found(layer int, version, content string) reading {
	return reading{layer: layer, exists: true, version: " at " + version, content: []byte(content)}
}

func gone(layer int) reading { return reading{layer: layer, version: " at 9"} }

func failed(layer int, denied bool) reading {
	return reading{layer: layer, denied: denied, err: fmt.Errorf("cannot read %d, denied %t", layer, denied)}
}

func TestLayers(t *testing.T) {
	type step struct {
		readings []reading
		want     []string
	}
	const (
		none    = "timeout 0s by kv: no document, as in code"
		tooLong = ": 1:10: timeout: 9h is out of range: 0 (none), or 1ms to 1h"
	)
	rows := []struct {
		name  string
		steps []step
	}{
		{"nothing is published before every layer was heard of", []step{
			{[]reading{found(1, "5", "timeout: 2s")}, nil},
			{[]reading{gone(0)}, []string{"timeout 2s by kv: svc at 5"}},
		}},
		{"the service stands over the default", []step{
			{[]reading{found(0, "1", "timeout: 1s"), found(1, "2", "timeout: 2s")}, []string{"timeout 2s by kv: _default at 1, svc at 2"}},
			{[]reading{gone(1)}, []string{"timeout 1s by kv: _default at 1"}},
			{[]reading{gone(0)}, []string{none}},
		}},
		{"an invalid document leaves the last good, and is told once", []step{
			{[]reading{gone(0), found(1, "2", "timeout: 2s")}, []string{"timeout 2s by kv: svc at 2"}},
			{[]reading{found(1, "3", "timeout: 9h")}, []string{"timeout 2s by kv: svc at 2 ! policy: svc at 3" + tooLong}},
			{[]reading{found(0, "4", "connect_timeout: 2s")}, []string{"timeout 2s by kv: _default at 4, svc at 2"}},
			{[]reading{found(1, "5", "timeout: x")}, []string{
				`timeout 2s by kv: _default at 4, svc at 2 ! policy: svc at 5: 1:10: timeout: want a duration such as 250ms, 5s or 1m30s, not this`,
			}},
			{[]reading{found(1, "6", "timeout: 3s")}, []string{"timeout 3s by kv: _default at 4, svc at 6"}},
		}},
		{"an invalid document that is put back as it was is told to be over", []step{
			{[]reading{gone(0), found(1, "2", "timeout: 2s")}, []string{"timeout 2s by kv: svc at 2"}},
			{[]reading{found(1, "3", "[")}, []string{
				"timeout 2s by kv: svc at 2 ! policy: svc at 3: 1:1: is no YAML or JSON here: did not find expected node content",
			}},
			{[]reading{found(1, "2", "timeout: 2s")}, []string{"timeout 2s by kv: svc at 2"}},
			{[]reading{found(1, "2", "timeout: 2s")}, nil},
		}},
		{"with an invalid document from the start the layer under it is in force", []step{
			{[]reading{found(0, "1", "timeout: 1s"), found(1, "2", "timeout: 9h")}, []string{
				"timeout 1s by kv: _default at 1",
				"timeout 1s by kv: _default at 1 ! policy: svc at 2" + tooLong,
			}},
		}},
		{"an invalid default does not keep the service from its own", []step{
			{[]reading{found(0, "1", "timeout: 9h"), found(1, "2", "overload: false")}, []string{
				"timeout 0s by kv: svc at 2",
				"timeout 0s by kv: svc at 2 ! policy: _default at 1" + tooLong,
			}},
		}},
		{"what cannot be read stays, and is told once until it changes", []step{
			{[]reading{found(0, "1", "timeout: 1s"), found(1, "2", "timeout: 2s")}, []string{"timeout 2s by kv: _default at 1, svc at 2"}},
			{[]reading{failed(1, true)}, []string{"timeout 2s by kv: _default at 1, svc at 2 ! policy: cannot read 1, denied true"}},
			{[]reading{failed(1, true)}, nil},
			{[]reading{failed(1, false)}, []string{"timeout 2s by kv: _default at 1, svc at 2 ! policy: cannot read 1, denied false"}},
			{[]reading{found(1, "2", "timeout: 2s")}, []string{"timeout 2s by kv: _default at 1, svc at 2"}},
			{[]reading{failed(1, false)}, []string{"timeout 2s by kv: _default at 1, svc at 2 ! policy: cannot read 1, denied false"}},
		}},
		{"what could never be read is as if it were not there", []step{
			{[]reading{failed(0, false), failed(1, true)}, []string{
				none,
				none + " ! policy: cannot read 0, denied false",
				none + " ! policy: cannot read 1, denied true",
			}},
			{[]reading{found(1, "2", "timeout: 2s")}, []string{"timeout 2s by kv: svc at 2"}},
			{[]reading{gone(0)}, []string{"timeout 2s by kv: svc at 2"}},
		}},
		{"an edit of the default cannot spoil the service", []step{
			{[]reading{gone(0), found(1, "2", "timeout: 2s\nattempt_timeout: 1s")}, []string{"timeout 2s by kv: svc at 2 warnings 1"}},
			{[]reading{found(0, "3", "timeout: 10ms\nattempt_timeout: 5ms\nretry: {max_attempts: 1}")}, []string{"timeout 2s by kv: _default at 3, svc at 2"}},
		}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			var got log
			l := newLayering("kv", Default(), []string{"_default", "svc"}, got.publish)
			for i, step := range row.steps {
				for _, r := range step.readings {
					l.take(r)
				}
				if l.complete() {
					l.flush()
				}
				if lines := got.next(); !slices.Equal(lines, step.want) {
					t.Errorf("step %d:\n got %s\nwant %s", i, strings.Join(lines, "\n     "), strings.Join(step.want, "\n     "))
				}
			}
		})
	}
}

func TestWarningsNameALowerLayer(t *testing.T) {
	var got Revision
	l := newLayering("kv", Default(), []string{"_default", "svc"}, func(r Revision, _ error) { got = r })
	l.take(found(0, "1", "new: 1"))
	l.take(found(1, "2", "newer: 1"))
	l.flush()
	if len(got.Warnings) != 2 || got.Warnings[0].Message != "in _default: unknown field, not applied" || got.Warnings[1].Message != "unknown field, not applied" {
		t.Errorf("%v", got.Warnings)
	}
}

// A policy that changes ten times a second is swapped at most once a second, and the last value wins.
func TestABurstOfChangesIsCoalesced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		const changes = 100
		start := time.Now()
		var at []time.Duration
		var last Revision
		l := newLayering("kv", Default(), []string{"svc"}, func(r Revision, err error) {
			if err != nil {
				t.Error(err)
			}
			at, last = append(at, time.Since(start)), r
		})
		l.watch(ctx, func(ctx context.Context, _ string, take func(reading)) {
			for i := range changes {
				take(found(0, fmt.Sprint(i), fmt.Sprintf("timeout: %dms", i+1)))
				time.Sleep(100 * time.Millisecond) // virtual
			}
			<-ctx.Done()
		})
		if at[0] != 0 {
			t.Errorf("the first value came after %s", at[0])
		}
		for i := 1; i < len(at); i++ {
			if at[i]-at[i-1] < minSwap {
				t.Errorf("swaps at %s and %s", at[i-1], at[i])
			}
		}
		if len(at) != 11 || last.Policy.Timeout != changes*time.Millisecond {
			t.Errorf("%d swaps, the last to %s", len(at), last.Policy.Timeout)
		}
	})
}

// What changes seldom is not held back.
func TestASingleChangeIsPublishedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var at []time.Time
		l := newLayering("kv", Default(), []string{"svc"}, func(Revision, error) { at = append(at, time.Now()) })
		var sent []time.Time
		l.watch(ctx, func(ctx context.Context, _ string, take func(reading)) {
			for i := range 5 {
				sent = append(sent, time.Now())
				take(found(0, fmt.Sprint(i), fmt.Sprintf("timeout: %dms", i+1)))
				time.Sleep(1500 * time.Millisecond) // virtual
			}
			<-ctx.Done()
		})
		if !slices.EqualFunc(at, sent, time.Time.Equal) {
			t.Errorf("sent at %v, published at %v", sent, at)
		}
	})
}

func TestStatic(t *testing.T) {
	own, shared, broken := Default(), Default(), Default()
	own.Timeout, shared.Timeout, broken.Timeout = time.Second, 2*time.Second, -1
	rows := []struct {
		source  Static
		service string
		want    string
	}{
		{nil, "a", "timeout 0s by code: defaults"},
		{Static{"b": own}, "a", "timeout 0s by code: defaults"},
		{Static{"a": own, DefaultKey: shared}, "a", "timeout 1s by code: a"},
		{Static{"a": own, DefaultKey: shared}, "b", "timeout 2s by code: _default"},
		{Static{"a": broken}, "a", `timeout 0s by code: defaults ! policy: static entry "a": timeout: -1ns is out of range: 0 (none), or 1ms to 1h`},
	}
	for _, row := range rows {
		var got log
		row.source.Watch(t.Context(), row.service, got.publish)
		if lines := got.next(); len(lines) != 1 || lines[0] != row.want {
			t.Errorf("%s: got %q, want %q", row.service, lines, row.want)
		}
	}
}

func TestWrongNamesAndBases(t *testing.T) {
	broken := Policy{}
	for _, service := range []string{"", ".", "..", "../x", "a/b", `a\b`, "a\x00b", "a\nb", ".hidden", strings.Repeat("a", 256)} {
		for _, source := range []Source{KV{}, Files{Dir: t.TempDir()}} {
			var got log
			source.Watch(t.Context(), service, got.publish)
			lines := got.next()
			if len(lines) != 2 || strings.Contains(lines[0], "!") || !strings.Contains(lines[1], "is no name of a service") {
				t.Errorf("%T of %q: %q", source, service, lines)
			}
		}
	}
	for _, source := range []Source{KV{Base: &broken}, Files{Base: &broken}} {
		var errs []error
		source.Watch(t.Context(), "a", func(r Revision, err error) {
			errs = append(errs, err)
			if !r.Policy.Equal(Default()) {
				t.Errorf("%T: %+v is in force", source, r.Policy)
			}
		})
		var problems Problems
		if len(errs) != 2 || !errors.As(errs[1], &problems) {
			t.Errorf("%T: %v", source, errs)
		}
	}
}

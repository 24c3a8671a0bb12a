package policy

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// minSwap is the least time between two publications of a service. A policy that changes faster is coalesced: the last
// value wins.
const minSwap = time.Second

// reading is what a source has read of one document.
type reading struct {
	layer   int
	content []byte // never written to
	exists  bool   // false: there is no such document
	version string // for people, as in " at 4711"
	err     error  // it could not be read: the last good stays
	denied  bool   // for lack of rights
}

// layer is one document under or of a service.
type layer struct {
	name  string   // for people and for the source: a key or a file
	heard bool     // something is known: a document, that there is none, or that it cannot be read
	next  *reading // read, and not yet judged
	good  reading  // in force; the zero value: no document
	err   error    // why good is not what stands there now; nil: it is
	deny  bool     // err is for lack of rights
	told  bool     // err was published
}

// layering makes one Policy of a base and the documents over it, and decides what of it to publish. It does no input or
// output and starts nothing.
type layering struct {
	source  string // "consul", "files"
	base    Policy
	layers  []layer
	publish func(Revision, error)

	last  Revision // as published
	once  bool     // something was
	wrong bool     // a document was not what is in force of it: the end of that is worth a publication
}

func newLayering(source string, base Policy, names []string, publish func(Revision, error)) *layering {
	l := &layering{source: source, base: base, layers: make([]layer, len(names)), publish: publish}
	for i, name := range names {
		l.layers[i].name = name
	}
	return l
}

// take keeps a reading until the next flush.
func (l *layering) take(r reading) {
	y := &l.layers[r.layer]
	y.heard = true
	switch {
	case r.err == nil:
		y.next = &r
	case y.err == nil || y.next != nil || y.deny != r.denied: // else the same trouble goes on, however it is worded
		y.next, y.err, y.deny, y.told = nil, fmt.Errorf("policy: %w", r.err), r.denied, false
	}
}

// complete reports whether every layer was heard of.
func (l *layering) complete() bool {
	return !slices.ContainsFunc(l.layers, func(y layer) bool { return !y.heard })
}

// flush judges what was taken and publishes what changed: first the Revision in force, then each new error beside it. It
// reports whether it published anything.
func (l *layering) flush() bool {
	rev, wrong := l.revise()
	published := false
	if !l.once || (l.wrong && !wrong) || !l.last.same(rev) {
		l.last, l.once, published = rev, true, true
		l.publish(rev, nil)
	}
	l.wrong = wrong
	for i := range l.layers {
		y := &l.layers[i]
		if y.err != nil && !y.told {
			y.told, published = true, true
			l.publish(rev, y.err)
		}
	}
	return published
}

// revise builds the Revision in force, and reports whether a document is not what is in force of it.
func (l *layering) revise() (rev Revision, wrong bool) {
	rev.Policy = l.base
	var origins []string
	for i := range l.layers {
		y := &l.layers[i]
		y.judge(rev.Policy)
		wrong = wrong || y.err != nil
		if !y.good.exists {
			continue
		}
		// What is valid over one base is valid over each, since conflicts with a base are settled: no error is left here.
		if p, warnings, err := Parse(y.good.content, rev.Policy); err == nil {
			rev.Policy = p
			rev.Warnings = append(rev.Warnings, l.from(i, warnings.discreet())...)
			origins = append(origins, y.name+y.good.version)
		}
	}
	if origins == nil {
		origins = []string{"no document, as in code"}
	}
	rev.Origin = l.source + ": " + strings.Join(origins, ", ")
	return rev, wrong
}

// judge puts what was read in force over the layer below, if it is valid.
func (y *layer) judge(below Policy) {
	if y.next == nil {
		return
	}
	next := *y.next
	y.next, y.err, y.deny, y.told = nil, nil, false, false
	if next.exists {
		if _, _, err := Parse(next.content, below); err != nil {
			y.err = refused(y.name+next.version, err)
			return
		}
	}
	y.good = next
}

// from names the document in the warnings of a layer under the service's own.
func (l *layering) from(i int, warnings Problems) Problems {
	if i == len(l.layers)-1 {
		return warnings
	}
	for j := range warnings {
		warnings[j].Message = "in " + l.layers[i].name + ": " + warnings[j].Message
	}
	return warnings
}

// same reports whether a reader of r and q would see no difference.
func (r Revision) same(q Revision) bool {
	return r.Origin == q.Origin && slices.Equal(r.Warnings, q.Warnings) && r.Policy.Equal(q.Policy)
}

// run takes readings until ctx ends and flushes them, at most once in minSwap.
func (l *layering) run(ctx context.Context, readings <-chan reading) {
	var hold <-chan time.Time
	for dirty := false; ; {
		select {
		case r := <-readings:
			l.take(r)
			dirty = true
		case <-hold:
			hold = nil
		case <-ctx.Done():
			return
		}
		if dirty && hold == nil && l.complete() {
			dirty = false
			if l.flush() {
				hold = time.After(minSwap)
			}
		}
	}
}

// watch runs l over what read reports of each layer, until ctx ends. read blocks until then.
func (l *layering) watch(ctx context.Context, read func(ctx context.Context, name string, take func(reading))) {
	readings := make(chan reading)
	var readers sync.WaitGroup
	for i := range l.layers {
		name := l.layers[i].name
		readers.Go(func() {
			read(ctx, name, func(r reading) {
				r.layer = i
				select {
				case readings <- r:
				case <-ctx.Done():
				}
			})
		})
	}
	l.run(ctx, readings)
	readers.Wait()
}

// fail publishes base, and beside it why there will never be more.
func fail(source string, base Policy, err error, publish func(Revision, error)) {
	rev := Revision{Policy: base, Origin: source + ": no document, as in code"}
	publish(rev, nil)
	publish(rev, err)
}

// namesOf are the documents of a service, the lowest layer first.
func namesOf(service string) []string {
	if service == DefaultKey {
		return []string{DefaultKey}
	}
	return []string{DefaultKey, service}
}

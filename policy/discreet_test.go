package policy

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

const canary = "c4nary-0f-KV"

// canaries are documents that hold a secret in each place, wrong and right, where one could stand.
var canaries = map[string]string{
	"no document at all":    canary,
	"unknown field":         "password: " + canary,
	"unknown name":          canary + ": 1",
	"unknown name, deeper":  "retry: {" + canary + ": 1}",
	"name twice":            canary + ": 1\n" + canary + ": 2\n",
	"refused value":         "timeout: " + canary,
	"refused word":          "mode: " + canary,
	"refused number":        "retry: {max_attempts: '" + canary + "'}",
	"unknown condition":     "retry: {when: [" + canary + "]}",
	"refused method":        "routes: [{name: a, match: {methods: ['" + canary + " x']}}]",
	"refused route":         "routes: [{name: '" + canary + " x', match: {methods: [GET]}}]",
	"comment":               "timeout: [ # " + canary,
	"anchor":                "a: &" + canary + " 1\nb: *" + canary,
	"unknown anchor":        "a: *" + canary,
	"tag":                   "a: !" + canary + " 1",
	"directive":             "%" + canary + "\n---\na: 1",
	"broken after":          "a: '" + canary + "\nb: \"",
	"list of lists":         "retry: [[" + canary + "]]",
	"second document":       "---\na: " + canary + "\n---\nb: " + canary,
	"not UTF-8":             canary + "\xff",
	"JSON":                  `{"timeout": "` + canary + `", "` + canary + `": ["` + canary + `"]}`,
	"long line":             "{a: " + strings.Repeat("x", 300) + canary + ", timeout: 5}",
	"in force with a field": "timeout: 1s\nnote_x: " + canary + "\n" + canary + ": 1",
}

// Nothing of what a document says is published, but for the names of routes that are in force.
func TestSourcesTellNothingOfTheDocument(t *testing.T) {
	for name, document := range canaries {
		var told []string
		l := newLayering("consul", Default(), []string{DefaultKey, "pay"}, func(r Revision, err error) {
			told = append(told, fmt.Sprintf("%v %+v %v", r.Warnings, r, err))
			for _, p := range problemsOf(err) {
				told = append(told, fmt.Sprintf("%+v", p))
			}
		})
		for i := range l.layers {
			l.take(reading{layer: i, content: []byte(document), exists: true, version: " at 7"})
		}
		l.flush()
		said := strings.Join(told, "\n")
		if strings.Contains(said, canary) || strings.Contains(said, "c4nary") {
			t.Errorf("%s: %s", name, said)
		}
		if p, warnings, err := Parse([]byte(document), Default()); err == nil && len(warnings) == 0 && p.Equal(Default()) {
			t.Errorf("%s: Parse has nothing to say, so nothing could be told", name)
		}
	}
}

func problemsOf(err error) Problems {
	ps, _ := errors.AsType[Problems](err)
	return ps
}

// What is told is still enough to find the place.
func TestDiscreetProblemsTellThePlace(t *testing.T) {
	_, _, err := Parse([]byte("mode: enforce\nroutes: [{name: a, match: {methods: [GET]}, timeout: "+canary+"}]"), Default())
	if text := refused("onehop/policy/pay at 7", err).Error(); text !=
		"policy: onehop/policy/pay at 7: 2:54: routes[0].timeout: want a duration such as 250ms, 5s or 1m30s, not this" {
		t.Error(text)
	}
	if !strings.Contains(err.Error(), canary) {
		t.Errorf("Parse itself, which is asked by who has the document, does not show it: %v", err)
	}
}

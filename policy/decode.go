package policy

import (
	"fmt"
	"sort"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// maxProblems bounds how many problems, and how many warnings, of one document are told.
const maxProblems = 64

// Parse decodes a YAML or JSON document over base and validates the result. On an error base comes back unchanged.
// Layers are successive Parses: Default(), then _default, then the service. An empty document changes nothing.
//
// A field that is written replaces that of base, lists as a whole. The routes of a document replace all routes of base,
// and each is decoded over the Settings of the result; the routes of a base that stay follow what the document changes,
// but for what their own document said. Unknown fields, and unknown conditions in retry.when, are left out with a warning;
// a route whose match has an unknown field is left out as a whole, since it would match more than it says. Conflicts
// between a document and its base are settled with a warning, those within a document refused.
//
// The error is a Problems with all that is wrong, 64 at most, each with its place. The warnings come back with an error
// too. Parse takes time linear in the document, of which it reads 64 KiB at most, and never panics.
//
// JSON is read as the YAML that it nearly is: two of its escapes in strings, \/ and surrogate pairs (\ud83d\ude00), are
// refused, in their place.
func Parse(document []byte, base Policy) (p Policy, warnings Problems, err error) {
	d := newDecoder()
	if len(document) <= maxDocument { // of what is too large nothing is shown
		d.lines = splitLines(document)
	}
	p = base
	if root := d.parseTree(document); root != nil {
		d.decode(root, base, &p)
	}
	sortByPlace(d.problems)
	sortByPlace(d.warnings)
	if err := d.told(d.problems).err(); err != nil {
		return base, d.told(d.warnings), err
	}
	return p, d.told(d.warnings), nil
}

// decoder is the state of one Parse.
type decoder struct {
	lines    lines
	set      map[string]*yaml.Node // what the document set, by path
	partial  map[string]bool       // paths that must be understood as a whole, and were not
	judged   map[string]bool       // paths that were refused
	around   map[string]bool       // what those are part of
	refused  map[*yaml.Node]bool   // nodes that were refused: once is enough
	problems Problems
	warnings Problems
}

func newDecoder() *decoder {
	return &decoder{
		set:     map[string]*yaml.Node{},
		partial: map[string]bool{},
		judged:  map[string]bool{},
		around:  map[string]bool{},
		refused: map[*yaml.Node]bool{},
	}
}

// decode reads root over base into p and judges the result.
func (d *decoder) decode(root *yaml.Node, base Policy, p *Policy) {
	document.read(d, root, "", p)
	d.settle("", breakerOrders(&p.CircuitBreaker))
	d.settleSettings("", &p.Settings)
	if n := d.set["routes"]; n != nil {
		d.readRoutes(n, p)
	} else {
		d.inherit(base, p)
	}
	p.check(func(path, message string) {
		if !d.known(path) {
			d.problems = d.note(d.problems, d.place(path), path, message)
		}
	})
	p.Routes = d.wholeRoutes(p.Routes)
}

// known reports whether what validation has to say of path was said: where the document is refused or not understood,
// the Policy holds what stood there before.
func (d *decoder) known(path string) bool {
	if d.around[path] {
		return true
	}
	for ; path != ""; path = parent(path) {
		if d.judged[path] || d.partial[path] {
			return true
		}
	}
	return false
}

// place is the node that set path, or what path is part of; nil when the document has neither.
func (d *decoder) place(path string) *yaml.Node {
	for {
		if n := d.set[path]; n != nil || path == "" {
			return n
		}
		path = parent(path)
	}
}

// parent is what path is part of: "routes[1]" for "routes[1].name", "" for "routes".
func parent(path string) string { return path[:max(0, strings.LastIndexAny(path, ".["))] }

// refuse notes something wrong at n.
func (d *decoder) refuse(n *yaml.Node, path, message string) {
	if d.refused[n] {
		return
	}
	d.refused[n], d.judged[path] = true, true
	for up := parent(path); up != ""; up = parent(up) {
		d.around[up] = true
	}
	d.problems = d.note(d.problems, n, path, message)
}

// warn notes at n (nil: at no place of the document) something that is not as it was meant, but harms nothing.
func (d *decoder) warn(n *yaml.Node, path, message string) {
	d.warnings = d.note(d.warnings, n, path, message)
}

// refuseAt notes something wrong right after the given beginning of the document.
func (d *decoder) refuseAt(before []byte, message string) {
	l := splitLines(before)
	last := l.line(len(l))
	d.refuse(&yaml.Node{Line: len(l), Column: utf8.RuneCountInString(last) + 1}, "", message)
}

// note appends a Problem. Beyond the ceiling it costs nothing: excerpts of a long line would cost its length each.
func (d *decoder) note(to Problems, n *yaml.Node, path, message string) Problems {
	if len(to) > maxProblems {
		return to
	}
	p := Problem{Path: path, Message: message}
	if n != nil {
		p.Line, p.Column = n.Line, n.Column
		p.Excerpt = d.lines.excerpt(n.Line, n.Column)
	}
	return append(to, p)
}

// told cuts ps to the ceiling, and says so.
func (d *decoder) told(ps Problems) Problems {
	if len(ps) <= maxProblems {
		return ps
	}
	return append(ps[:maxProblems:maxProblems], Problem{Message: fmt.Sprintf("there are more: only the first %d are told", maxProblems)})
}

// quote shows a value in a message, if all of it stands in the line that the excerpt shows.
func (d *decoder) quote(n *yaml.Node) string {
	if n.Value == "" || len(n.Value) > excerptWidth || !strings.Contains(d.lines.line(n.Line), n.Value) {
		return "this"
	}
	return `"` + brief(n.Value) + `"`
}

func sortByPlace(ps Problems) {
	sort.SliceStable(ps, func(i, j int) bool {
		a, b := ps[i], ps[j]
		return a.Line < b.Line || (a.Line == b.Line && a.Column < b.Column)
	})
}

// lookup returns the value of a key, nil when n has none.
func lookup(n *yaml.Node, name string) *yaml.Node {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == name {
			return n.Content[i+1]
		}
	}
	return nil
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

// kindOf names what n is, for people.
func kindOf(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "fields"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case isNull(n):
		return "nothing"
	default:
		return "a single value"
	}
}

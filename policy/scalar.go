package policy

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// kind is what a single value may be.
type kind[T any] interface {
	want() string                 // what stands here, as in "want a duration such as 250ms"
	parse(n *yaml.Node) (T, bool) // false: no such value
	wrong(v T) string             // why v may not stand here, and what may; "": it may
	print(v T) any                // the value as JSON; nil: v is not set
	schema() members
}

// hinter is a kind that tells what a value that does not parse probably means; "": no idea.
type hinter interface{ hint(n *yaml.Node) string }

// scalar is the shape of a single value.
type scalar[T any] struct{ kind kind[T] }

// single is the shape of one value of a kind.
func single[T any](k kind[T]) typed[*T] { return typed[*T]{scalar[T]{k}} }

func (s scalar[T]) read(d *decoder, n *yaml.Node, path string, place any) {
	if !d.wantSingle(n, path, s.kind.want()) {
		return
	}
	v, ok := s.kind.parse(n)
	if !ok {
		hint := ""
		if h, ok := s.kind.(hinter); ok {
			hint = h.hint(n)
		}
		d.refuse(n, path, s.kind.want()+", not "+d.quote(n)+hint)
		return
	}
	if message := s.kind.wrong(v); message != "" {
		d.refuse(n, path, message)
		return
	}
	d.set[path] = n
	*as[*T](place) = v
}

// wantSingle refuses what is no single value.
func (d *decoder) wantSingle(n *yaml.Node, path, want string) bool {
	switch {
	case isNull(n):
		d.refuse(n, path, "has no value: "+want+", or leave the line out to keep what stands under this document")
	case n.Kind != yaml.ScalarNode:
		d.refuse(n, path, want+", not "+kindOf(n))
	default:
		return true
	}
	return false
}

func (s scalar[T]) check(place any, path string, r report) {
	if message := s.kind.wrong(*as[*T](place)); message != "" {
		r(path, message)
	}
}

func (s scalar[T]) write(place any) any { return s.kind.print(*as[*T](place)) }

func (s scalar[T]) schema() members { return s.kind.schema() }

// booleanKind is true or false. YAML 1.1's other words for them (yes, on) are not taken: they are strings to most tools.
type booleanKind struct{}

func boolean() typed[*bool] { return single(booleanKind{}) }

func (booleanKind) want() string { return "want true or false" }
func (booleanKind) parse(n *yaml.Node) (v, ok bool) {
	return v, n.Tag == "!!bool" && n.Decode(&v) == nil
}
func (booleanKind) wrong(bool) string { return "" }
func (booleanKind) print(v bool) any  { return v }
func (booleanKind) schema() members   { return members{{"type", "boolean"}} }

// wordKind is one of a few words.
type wordKind[T ~string] []T

func word[T ~string](words ...T) typed[*T] { return single(wordKind[T](words)) }

func (k wordKind[T]) names() []string {
	names := make([]string, len(k))
	for i, w := range k {
		names[i] = string(w)
	}
	return names
}

func (k wordKind[T]) want() string                 { return "want one of " + strings.Join(k.names(), ", ") }
func (k wordKind[T]) parse(n *yaml.Node) (T, bool) { return T(n.Value), slices.Contains(k, T(n.Value)) }
func (k wordKind[T]) hint(n *yaml.Node) string     { return suggest(n.Value, k.names()) }
func (k wordKind[T]) print(v T) any                { return string(v) }
func (k wordKind[T]) schema() members              { return members{{"enum", k.names()}} }

func (k wordKind[T]) wrong(v T) string {
	if slices.Contains(k, v) {
		return ""
	}
	return fmt.Sprintf("%s, not %q", k.want(), brief(string(v)))
}

// textKind is a string of one form. The empty string is no value: a document leaves the field out.
type textKind struct {
	wanted string
	form   pattern
}

func (k textKind) want() string                      { return k.wanted }
func (k textKind) parse(n *yaml.Node) (string, bool) { return n.Value, n.Tag == "!!str" }

func (k textKind) wrong(v string) string {
	if k.form.matches(v) {
		return ""
	}
	return k.wanted // without v, which may be of many lines
}

func (k textKind) print(v string) any {
	if v == "" {
		return nil
	}
	return v
}

func (k textKind) schema() members { return members{{"type", "string"}, {"pattern", k.form.String()}} }

// optionalText is a text that code may leave unset.
type optionalText struct{ shape }

func optional(k textKind) typed[*string] { return typed[*string]{optionalText{single(k).shape}} }

func (o optionalText) check(place any, path string, r report) {
	if *as[*string](place) != "" {
		o.shape.check(place, path, r)
	}
}

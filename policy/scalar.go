package policy

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// scalar is the shape of a single value.
type scalar[T any] struct {
	want   string                       // what stands here, as in "want a duration such as 250ms"
	parse  func(n *yaml.Node) (T, bool) // false: no such value
	wrong  func(v T) string             // why v may not stand here, and what may; "": it may
	print  func(v T) any                // the value as JSON; nil: v is not set
	absent func(v T) bool               // v is not set, which only code can say; nil: every value is one
	form   members                      // its schema
	hint   func(n *yaml.Node) string    // what a value that does not parse probably means; nil: nothing
}

func (s scalar[T]) read(d *decoder, n *yaml.Node, path string, into *T) {
	if isNull(n) {
		d.refuse(n, path, "has no value: "+s.want+", or leave the line out to keep what stands under this document")
		return
	}
	if n.Kind != yaml.ScalarNode {
		d.refuse(n, path, s.want+", not "+kindOf(n))
		return
	}
	v, ok := s.parse(n)
	if !ok {
		d.refuse(n, path, s.want+", not "+d.quote(n)+s.hintOf(n))
		return
	}
	if message := s.wrong(v); message != "" {
		d.refuse(n, path, message)
		return
	}
	d.set[path] = n
	*into = v
}

func (s scalar[T]) hintOf(n *yaml.Node) string {
	if s.hint == nil {
		return ""
	}
	return s.hint(n)
}

func (s scalar[T]) check(v T, path string, r report) {
	if s.absent != nil && s.absent(v) {
		return
	}
	if message := s.wrong(v); message != "" {
		r(path, message)
	}
}

func (s scalar[T]) write(v T) any   { return s.print(v) }
func (s scalar[T]) schema() members { return s.form }

// boolean is true or false. YAML 1.1's other words for them (yes, on) are not taken: they are strings to most tools.
func boolean() scalar[bool] {
	return scalar[bool]{
		want: "want true or false",
		parse: func(n *yaml.Node) (v, ok bool) {
			return v, n.Tag == "!!bool" && n.Decode(&v) == nil
		},
		wrong: func(bool) string { return "" },
		print: func(v bool) any { return v },
		form:  members{{"type", "boolean"}},
	}
}

// word is one of a few words.
func word[T ~string](words ...T) scalar[T] {
	names := make([]string, len(words))
	for i, w := range words {
		names[i] = string(w)
	}
	want := "want one of " + strings.Join(names, ", ")
	return scalar[T]{
		want:  want,
		parse: func(n *yaml.Node) (T, bool) { return T(n.Value), slices.Contains(names, n.Value) },
		wrong: func(v T) string {
			if slices.Contains(words, v) {
				return ""
			}
			return fmt.Sprintf("%s, not %q", want, brief(string(v)))
		},
		print: func(v T) any { return string(v) },
		form:  members{{"enum", names}},
		hint:  func(n *yaml.Node) string { return suggest(n.Value, names) },
	}
}

// text is a string of one form. The empty string is no value: a document leaves the field out.
func text(want string, form pattern) scalar[string] {
	return scalar[string]{
		want:  want,
		parse: func(n *yaml.Node) (string, bool) { return n.Value, n.Tag == "!!str" },
		wrong: func(v string) string {
			if form.matches(v) {
				return ""
			}
			return want // without v, which may be of many lines
		},
		print: func(v string) any {
			if v == "" {
				return nil
			}
			return v
		},
		form: members{{"type", "string"}, {"pattern", form.String()}},
	}
}

// optional lets code leave a text unset.
func optional(s scalar[string]) scalar[string] {
	s.absent = func(v string) bool { return v == "" }
	return s
}

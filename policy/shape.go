package policy

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// A shape is what may stand at one place of the document, for a place that holds a T. Its four verbs are the four walks:
// Parse, Validate, MarshalJSON and Schema.
type shape[T any] interface {
	// read decodes n over *into. What is wrong goes to d, and leaves *into as it was.
	read(d *decoder, n *yaml.Node, path string, into *T)
	// check reports what is wrong with v, wherever it came from.
	check(v T, path string, r report)
	// write returns v for encoding/json, in the form that read takes; nil leaves the field out.
	write(v T) any
	// schema describes what read and check accept.
	schema() members
}

// report takes one thing that is wrong with a Policy.
type report func(path, message string)

// field is one named place in an object that is decoded into a T.
type field[T any] struct {
	name   string
	under  []string // names of the fields below it, for did-you-mean
	read   func(d *decoder, n *yaml.Node, path string, into *T)
	check  func(v T, path string, r report)
	write  func(v T) any
	schema func() members
}

// at makes a field that of finds in a T. about is the one sentence that the schema says of it.
func at[T, F any](name, about string, of func(*T) *F, s shape[F]) field[T] {
	f := field[T]{
		name:  name,
		read:  func(d *decoder, n *yaml.Node, path string, into *T) { s.read(d, n, path, of(into)) },
		check: func(v T, path string, r report) { s.check(*of(&v), path, r) },
		write: func(v T) any { return s.write(*of(&v)) },
		schema: func() members {
			return append(members{{"description", about}}, s.schema()...)
		},
	}
	if o, ok := s.(interface{ names() []string }); ok {
		f.under = o.names()
	}
	return f
}

// lift moves fields of an F into an object of the T that holds it.
func lift[T, F any](of func(*T) *F, fields ...field[F]) []field[T] {
	out := make([]field[T], len(fields))
	for i, f := range fields {
		out[i] = field[T]{
			name:   f.name,
			under:  f.under,
			read:   func(d *decoder, n *yaml.Node, path string, into *T) { f.read(d, n, path, of(into)) },
			check:  func(v T, path string, r report) { f.check(*of(&v), path, r) },
			write:  func(v T) any { return f.write(*of(&v)) },
			schema: f.schema,
		}
	}
	return out
}

// object is a mapping of known fields. Unknown ones warn, since fleets are never of one version. Without a value (null)
// it changes nothing, unless something must stand in it.
type object[T any] struct {
	fields    []field[T]
	required  []string // must be there, so null is no object
	some      bool     // something must be there, so null is no object
	elsewhere []string // known, but never here: refused, where the unknown is only warned of
	whole     bool     // means something else without a part: an unknown field marks it as partial
}

func (o object[T]) read(d *decoder, n *yaml.Node, path string, into *T) {
	empty := isNull(n)
	switch {
	case empty && !o.some && len(o.required) == 0:
		return
	case empty, n.Kind != yaml.MappingNode:
		d.refuse(n, path, "want fields here, as in {name: value}, not "+kindOf(n))
		return
	}
	d.set[path] = n
	// By the order of the table, not of the document: a field may build on those before it.
	for _, f := range o.fields {
		if value := lookup(n, f.name); value != nil {
			f.read(d, value, join(path, f.name), into)
		}
	}
	o.readOthers(d, n, path)
}

// readOthers judges the keys of n that are no fields.
func (o object[T]) readOthers(d *decoder, n *yaml.Node, path string) {
	names := o.names()
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		switch {
		case slices.Contains(names, key.Value):
		case slices.Contains(o.elsewhere, key.Value):
			d.refuse(key, join(path, key.Value), "belongs to the upstream, not to a route: move it to the top of the document")
		default:
			d.warn(key, join(path, key.Value), "unknown field, not applied"+d.suggest(key.Value, o.candidates))
			d.partial[path] = d.partial[path] || o.whole
		}
	}
}

func (o object[T]) check(v T, path string, r report) {
	for _, f := range o.fields {
		f.check(v, join(path, f.name), r)
	}
}

func (o object[T]) write(v T) any {
	var out members
	for _, f := range o.fields {
		if value := f.write(v); value != nil {
			out = append(out, member{f.name, value})
		}
	}
	return out
}

func (o object[T]) schema() members {
	var properties members
	for _, f := range o.fields {
		properties = append(properties, member{f.name, f.schema()})
	}
	for _, name := range o.elsewhere {
		properties = append(properties, member{name, false})
	}
	out := members{{"properties", properties}}
	switch {
	case len(o.required) > 0:
		out = append(out, member{"type", "object"}, member{"required", o.required})
	case o.some:
		out = append(out, member{"type", "object"}, member{"minProperties", 1})
	default:
		out = append(out, member{"type", []string{"object", "null"}})
	}
	return out
}

// names are those of the fields.
func (o object[T]) names() []string {
	names := make([]string, len(o.fields))
	for i, f := range o.fields {
		names[i] = f.name
	}
	return names
}

// candidates are the fields that a misspelt one may stand for: these, and those below them.
func (o object[T]) candidates() []string {
	out := o.names()
	for _, f := range o.fields {
		for _, name := range f.under {
			out = append(out, f.name+"."+name)
		}
	}
	return out
}

// member is one field of a JSON object whose order is kept.
type member struct {
	name  string
	value any
}

type members []member

// MarshalJSON writes the fields in their order.
func (m members) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, f := range m {
		if i > 0 {
			b.WriteByte(',')
		}
		name, err := json.Marshal(f.name)
		if err != nil {
			return nil, err
		}
		value, err := json.Marshal(f.value)
		if err != nil {
			return nil, err
		}
		b.Write(name)
		b.WriteByte(':')
		b.Write(value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// join appends a field's name to a path. A name that is no plain word is shortened: paths are printed.
func join(path, name string) string {
	name = brief(name)
	if path == "" {
		return name
	}
	return path + "." + name
}

// brief bounds a name that a document made up: a piece of its first line.
func brief(name string) string {
	const most = 40
	name, _, _ = strings.Cut(name, "\n")
	if r := []rune(name); len(r) > most {
		name = string(r[:most]) + "…"
	}
	return string(printable([]rune(name)))
}

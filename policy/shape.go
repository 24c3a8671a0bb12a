package policy

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// A shape is what may stand at one place of the document. Its four verbs are the four walks: Parse, Validate, MarshalJSON
// and Schema. A place is a pointer, such as the *time.Duration of a timeout.
type shape interface {
	// read decodes n into place. What is wrong goes to d, and leaves the place as it was.
	read(d *decoder, n *yaml.Node, path string, place any)
	// check reports what is wrong with the value at place, wherever it came from.
	check(place any, path string, r report)
	// write returns the value at place for encoding/json, in the form that read takes; nil leaves the field out.
	write(place any) any
	// schema describes what read and check accept.
	schema() members
}

// typed is a shape for places of type P: with it the compiler compares the two halves of a field. The walks are untyped,
// or each would be compiled once more for each type.
type typed[P any] struct{ shape shape }

// as is a place by its type. typed has compared it: only a mistake in the use of lift could end here.
func as[P any](place any) P { return place.(P) } //nolint:forcetypeassert // Validate walks the whole table: no test would pass

// report takes one thing that is wrong with a Policy.
type report func(path, message string)

// field is one named place in an object.
type field struct {
	name  string
	about string               // the one sentence that the schema says of it
	of    func(object any) any // its place in that of the object
	shape shape
}

// at makes a field that of finds in an O. Inlined, each line of the table would bring its own copy of it.
//
//go:noinline
func at[O, P any](name, about string, of func(O) P, s typed[P]) *field {
	return &field{name: name, about: about, of: func(o any) any { return of(as[O](o)) }, shape: s.shape}
}

// lift moves fields of a P into an object that holds it.
func lift[O, P any](of func(O) P, fields []*field) []*field {
	out := make([]*field, len(fields))
	for i, f := range fields {
		lifted := *f
		lifted.of = func(o any) any { return f.of(of(as[O](o))) }
		out[i] = &lifted
	}
	return out
}

// object is a mapping of known fields. Unknown ones warn, since fleets are never of one version. Without a value (null)
// it changes nothing, unless something must stand in it.
type object struct {
	fields    []*field
	required  []string // must be there, so null is no object
	some      bool     // something must be there, so null is no object
	elsewhere []string // known, but never here: refused, where the unknown is only warned of
	whole     bool     // means something else without a part: an unknown field marks it as partial
}

// fields is an object of them, and nothing else to say.
func fields[P any](list ...*field) typed[P] { return typed[P]{&object{fields: list}} }

func (o *object) read(d *decoder, n *yaml.Node, path string, place any) {
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
			f.shape.read(d, value, join(path, f.name), f.of(place))
		}
	}
	o.readOthers(d, n, path)
}

// readOthers judges the keys of n that are no fields.
func (o *object) readOthers(d *decoder, n *yaml.Node, path string) {
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

func (o *object) check(place any, path string, r report) {
	for _, f := range o.fields {
		f.shape.check(f.of(place), join(path, f.name), r)
	}
}

func (o *object) write(place any) any {
	var out members
	for _, f := range o.fields {
		if value := f.shape.write(f.of(place)); value != nil {
			out = append(out, member{f.name, value})
		}
	}
	return out
}

func (o *object) schema() members {
	var properties members
	for _, f := range o.fields {
		properties = append(properties, member{f.name, append(members{{"description", f.about}}, f.shape.schema()...)})
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
func (o *object) names() []string {
	names := make([]string, len(o.fields))
	for i, f := range o.fields {
		names[i] = f.name
	}
	return names
}

// candidates are the fields that a misspelt one may stand for: these, and those below them.
func (o *object) candidates() []string {
	out := o.names()
	for _, f := range o.fields {
		if below, ok := f.shape.(*object); ok {
			for _, name := range below.names() {
				out = append(out, f.name+"."+name)
			}
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

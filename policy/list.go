package policy

import (
	"fmt"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// list is a sequence of single values. A list that is read replaces the one under it.
type list[T any] struct {
	item    kind[T]
	some    bool                                  // empty is no list
	most    int                                   // ceiling of its length
	unknown func(d *decoder, n *yaml.Node) string // of an item: why it is left out with a warning; "": it is judged by item; nil: none is left out
}

// many is the shape of a list.
func many[T any](l list[T]) typed[*[]T] { return typed[*[]T]{&l} }

func (l *list[T]) read(d *decoder, n *yaml.Node, path string, place any) {
	if !d.wantList(n, path, l.some, l.most) {
		return
	}
	out, whole := make([]T, 0, len(n.Content)), true
	for i, c := range n.Content {
		if l.unknown != nil {
			if message := l.unknown(d, c); message != "" {
				d.warn(c, index(path, i), message)
				continue
			}
		}
		var v T
		scalar[T]{l.item}.read(d, c, index(path, i), &v)
		out, whole = append(out, v), whole && !d.refused[c]
	}
	if whole {
		d.set[path] = n
		*as[*[]T](place) = out
	}
}

func (l *list[T]) check(place any, path string, r report) {
	v := *as[*[]T](place)
	if len(v) > l.most {
		r(path, tooMany(len(v), l.most))
		return
	}
	for i := range v {
		scalar[T]{l.item}.check(&v[i], index(path, i), r)
	}
}

func (l *list[T]) write(place any) any {
	v := *as[*[]T](place)
	if len(v) == 0 && l.some {
		return nil
	}
	out := make([]any, len(v))
	for i, item := range v {
		out[i] = l.item.print(item)
	}
	return out
}

func (l *list[T]) schema() members {
	out := members{{"type", "array"}, {"maxItems", l.most}, {"items", l.item.schema()}}
	if l.some {
		out = append(out, member{"minItems", 1})
	}
	return out
}

// wantList refuses what is no list of a permitted length.
func (d *decoder) wantList(n *yaml.Node, path string, some bool, most int) bool {
	switch {
	case n.Kind != yaml.SequenceNode:
		d.refuse(n, path, "want a list, as in [a, b] (and [] for none), not "+kindOf(n))
	case some && len(n.Content) == 0:
		d.refuse(n, path, "is empty: leave it out")
	case len(n.Content) > most:
		d.refuse(n, path, tooMany(len(n.Content), most))
	default:
		return true
	}
	return false
}

func tooMany(n, most int) string { return fmt.Sprintf("%d entries are too many: at most %d", n, most) }

func index(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

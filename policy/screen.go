package policy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

const (
	// maxDocument is the largest document that is read, in bytes. Consul's own ceiling for a value is 512 KiB.
	maxDocument = 64 << 10
	// maxDepth is how deep mappings and lists may stand in each other. The document's own fields need 5.
	maxDepth = 16
)

// parseTree returns the tree of the document, nil when it is empty, having refused what must not be read at all.
func (d *decoder) parseTree(document []byte) *yaml.Node {
	if offset, message := unreadable(document); message != "" {
		d.refuseAt(document[:offset], message)
		return nil
	}
	tree, err := parseYAML(document)
	if err != nil {
		d.refuseAt(readUntilError(document), reason(err))
		return nil
	}
	if len(tree) == 0 {
		return nil
	}
	if len(tree) > 1 {
		d.refuse(tree[1], "", "a second document begins here: one policy is one document")
		return nil
	}
	root := tree[0].Content[0]
	d.screen(root, "", 0)
	return root
}

// unreadable says why the bytes are no text that is read, and where.
func unreadable(document []byte) (offset int, message string) {
	switch {
	case len(document) > maxDocument:
		return maxDocument, fmt.Sprintf("the document has %d bytes: at most %d", len(document), maxDocument)
	case bytes.HasPrefix(document, []byte("\xef\xbb\xbf")):
		return 0, "begins with a byte order mark: save it as UTF-8 without one"
	case bytes.HasPrefix(document, []byte("\xfe\xff")), bytes.HasPrefix(document, []byte("\xff\xfe")):
		return 0, "is UTF-16: save it as UTF-8"
	}
	if i := bytes.IndexByte(document, 0); i >= 0 {
		return i, "a NUL byte: save the document as UTF-8 text (UTF-16 has such bytes)"
	}
	for i, rest := 0, document; len(rest) > 0; {
		r, size := utf8.DecodeRune(rest)
		if r == utf8.RuneError && size == 1 {
			return i, "is not UTF-8 here"
		}
		i, rest = i+size, rest[size:]
	}
	return 0, ""
}

// parseYAML returns the documents of a stream, two at most. A panic of the parser is an error: a policy is read by every
// process of a fleet within a second, and must end none of them.
func parseYAML(document []byte) (tree []*yaml.Node, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = errors.New("the YAML parser cannot read this")
		}
	}()
	stream := yaml.NewDecoder(bytes.NewReader(document))
	for len(tree) < 2 {
		var n yaml.Node
		switch err := stream.Decode(&n); {
		case errors.Is(err, io.EOF):
			return tree, nil
		case err != nil:
			return nil, err
		}
		tree = append(tree, &n)
	}
	return tree, nil
}

// readUntilError returns what the YAML parser reads of a document before it gives up. The parser tells a line at most,
// and not always the right one; but it reads a few characters ahead at most, so given one byte at a time it stops by the error.
func readUntilError(document []byte) []byte {
	r := &byteByByte{rest: document}
	defer func() { _ = recover() }() // as parseYAML
	stream := yaml.NewDecoder(r)
	for err := error(nil); err == nil; {
		err = stream.Decode(new(yaml.Node))
	}
	read := document[:len(document)-len(r.rest)]
	read = bytes.TrimRightFunc(read, unicode.IsSpace)
	_, last := utf8.DecodeLastRune(read)
	return read[:len(read)-last] // up to the last character, which is where the caret goes
}

type byteByByte struct{ rest []byte }

func (r *byteByByte) Read(p []byte) (int, error) {
	if len(r.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.rest[:1])
	r.rest = r.rest[n:]
	return n, nil
}

// reason is the parser's message without its own count of lines.
func reason(err error) string {
	message := strings.TrimPrefix(err.Error(), "yaml: ")
	if rest, ok := strings.CutPrefix(message, "line "); ok {
		if _, after, ok := strings.Cut(rest, ": "); ok {
			message = after
		}
	}
	return "is no YAML or JSON here: " + message
}

// screen refuses what is YAML but never part of a policy, over the whole tree: each value is then written exactly once,
// where it stands, and reads the same to every tool.
func (d *decoder) screen(n *yaml.Node, path string, depth int) {
	switch {
	case depth > maxDepth:
		d.refuse(n, path, fmt.Sprintf("nested too deep: at most %d levels", maxDepth))
		return
	case n.Kind == yaml.AliasNode, n.Anchor != "":
		d.refuse(n, path, "anchors and aliases are not taken: write the value out")
		return
	case n.Style&yaml.TaggedStyle != 0:
		d.refuse(n, path, "tags are not taken: write the plain value")
		return
	}
	if n.Kind == yaml.MappingNode {
		d.screenMapping(n, path, depth)
		return
	}
	for i, c := range n.Content {
		d.screen(c, index(path, i), depth+1)
	}
}

func (d *decoder) screenMapping(n *yaml.Node, path string, depth int) {
	seen := make(map[string]*yaml.Node, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content) && len(d.problems) <= maxProblems; i += 2 { // beyond, nothing is told
		key, value := n.Content[i], n.Content[i+1]
		switch first, twice := seen[key.Value]; {
		case key.Kind != yaml.ScalarNode:
			d.refuse(key, path, "want a name before the colon, not "+kindOf(key))
		case key.Tag == "!!merge":
			d.refuse(key, path, "merge keys (<<) are not taken: write the fields out")
		case twice:
			d.refuse(key, join(path, key.Value), fmt.Sprintf("stands twice: first on line %d", first.Line))
		default:
			seen[key.Value] = key
		}
		if key.Anchor != "" || key.Style&yaml.TaggedStyle != 0 {
			d.refuse(key, path, "anchors and tags are not taken: write the plain name")
		}
		d.screen(value, join(path, key.Value), depth+1)
	}
}

package policy

import (
	"bytes"
	"encoding/json"
)

//go:generate go test -run ^TestSchemaFile$ -update .

// Schema returns the JSON Schema (draft 2020-12) of the document, for editors and checks before a document is written;
// the file schema.json beside this package is the same. It accepts what Parse accepts, with two exceptions. It asks for
// durations in their plain spelling ("1.5ms", not "1500us"). And it cannot see what needs a comparison, a sum or the text
// itself: attempt_timeout against timeout and the like, names of routes that stand twice, duplicate keys, the document's
// size. Each call returns a fresh slice.
func Schema() []byte {
	schema := append(members{
		{"$schema", "https://json-schema.org/draft/2020-12/schema"},
		{"title", "onehop policy"},
		{"description", "Resilience of the calls to one service. Unknown fields are left out with a warning."},
	}, append(document.schema(), member{"$defs", durationForms})...)
	compact, err := json.Marshal(schema)
	if err != nil {
		panic(err) // the table is constant: a test calls this
	}
	var b bytes.Buffer
	if err := json.Indent(&b, compact, "", "  "); err != nil {
		panic(err) // as above
	}
	b.WriteByte('\n')
	return b.Bytes()
}

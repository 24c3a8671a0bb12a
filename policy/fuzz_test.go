package policy

import (
	"strings"
	"testing"
)

// hostile are documents of about k bytes that cost more than they look.
func hostile(k int) map[string]string {
	var blocks strings.Builder
	for i := 0; blocks.Len()+i+3 <= k; i++ {
		blocks.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	return map[string]string{
		"brackets": strings.Repeat("[", k), "closed": strings.Repeat("[", k/8) + strings.Repeat("]", k/8),
		"dashes": strings.Repeat("- ", k/2), "questions": strings.Repeat("? ", k/2), "braces": strings.Repeat("{a: ", k/4),
		"comments": strings.Repeat("a: 1 #x\n", k/8), "same": strings.Repeat("a:\n", k/3), "colons": strings.Repeat(":", k),
		"commas": "[" + strings.Repeat("a,", k/2-1), "anchors": strings.Repeat("&a ", k/3), "documents": strings.Repeat("---\n", k/4),
		"blocks": blocks.String(), "fields": manyFields(k / 13), "line": "{" + strings.ReplaceAll(manyFields(k/13), "\n", ", ") + "a: 1}",
		"routes": "routes: [" + strings.Repeat("{},", k/3-10) + "]", "conditions": "retry: {when: [" + strings.Repeat("resett,", k/7-10) + "]}",
		"key": strings.Repeat("k", k/2) + ": {" + strings.Repeat("a: 1,", k/10-10) + "}",
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		reference, "", "{}", "timeout: 5", "a: [1\nb: 2", "retry: {when: [429, x]}", "a: &x 1\nb: *x\n---\n", "\xff\xfe", "? [a]\n: b",
		"routes: [{name: a, match: {methods: [GET]}, hedge: 1%}]",
	} {
		f.Add([]byte(seed))
	}
	for _, document := range corpus() {
		f.Add([]byte(document))
	}
	base, _, err := Parse([]byte("timeout: 2s\nattempt_timeout: 500ms\nroutes: [{name: a, match: {methods: [GET]}, attempt_timeout: 1s}]"), Default())
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, document []byte) {
		for _, base := range []Policy{Default(), base} {
			p, warnings, err := Parse(document, base)
			for _, w := range warnings {
				_ = w.Error()
			}
			if err != nil {
				if err.Error() == "" || !p.Equal(base) {
					t.Fatalf("an error that says nothing, or changes something: %v", err)
				}
				continue
			}
			if err := p.Validate(); err != nil {
				t.Fatalf("taken, but not valid: %v", err)
			}
			again, err := p.MarshalJSON()
			if err != nil {
				t.Fatal(err)
			}
			if back, _, err := Parse(again, base); err != nil || !back.Equal(p) {
				t.Fatalf("%s reads back as %+v, %v", again, back, err)
			}
		}
	})
}

func TestHostileDocumentsAreRefusedOrHarmless(t *testing.T) {
	for name, document := range hostile(maxDocument / 8) {
		p, warnings, err := Parse([]byte(document), Default())
		if !p.Equal(Default()) {
			t.Errorf("%s changes the policy", name)
		}
		if err == nil && len(warnings) == 0 {
			t.Errorf("%s goes unremarked", name)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	b.Run("reference", func(b *testing.B) { benchmarkParse(b, reference) })
	full, err := Default().MarshalJSON()
	if err != nil {
		b.Fatal(err)
	}
	b.Run("json", func(b *testing.B) { benchmarkParse(b, string(full)) })
	b.Run("one field", func(b *testing.B) { benchmarkParse(b, "timeout: 2s") })
	for name, document := range hostile(maxDocument) {
		b.Run("hostile "+name, func(b *testing.B) { benchmarkParse(b, document) })
	}
}

func benchmarkParse(b *testing.B, document string) {
	b.Helper()
	text, base := []byte(document), Default()
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		_, _, _ = Parse(text, base)
	}
}

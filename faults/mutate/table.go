package main

import (
	"fmt"
	"os"
	"strings"
)

// verdict is the tests that failed without a rule.
type verdict struct{ failed []string }

func (v verdict) noticed() bool { return len(v.failed) > 0 }

func (v verdict) String() string {
	if !v.noticed() {
		return "SURVIVED"
	}
	return "noticed by " + strings.Join(v.failed, ", ")
}

// The marks between which the table stands in its file.
const (
	begin = "<!-- rules: written by go run ./faults/mutate -table -->\n"
	end   = "<!-- end of rules -->\n"
)

// write puts what was found into the table of file. The lines of rules that were not tried stay as they are.
func write(file string, found map[string]verdict) error {
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	head, rest, ok := strings.Cut(string(content), begin)
	old, tail, closed := strings.Cut(rest, end)
	if !ok || !closed {
		return fmt.Errorf("%s lacks the marks of the table", file)
	}
	text := head + begin + table(found, lines(old)) + end + tail
	return os.WriteFile(file, []byte(text), 0o644) //nolint:gosec // a page for everybody
}

// table is all rules with their verdicts, or what the old lines say of them.
func table(found map[string]verdict, old map[string]string) string {
	var b strings.Builder
	b.WriteString("| rule | stands in | without it |\n|---|---|---|\n")
	for _, r := range rules {
		said := "not tried"
		if v, ok := found[r.name]; ok {
			said = v.String()
		} else if line, ok := old[r.name]; ok {
			said = line
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", r.name, r.file, said)
	}
	return b.String()
}

// lines is what a table says of each rule.
func lines(table string) map[string]string {
	said := map[string]string{}
	for line := range strings.Lines(table) {
		if cells := strings.Split(line, " | "); len(cells) == 3 {
			said[strings.TrimPrefix(cells[0], "| ")] = strings.TrimSuffix(cells[2], " |\n")
		}
	}
	return said
}

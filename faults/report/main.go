// Command report runs the fault suite and writes what it measured as a table: row, fault, measure, figures, verdict.
//
//	go run ./faults/report docs/faults.md
//
// ONEHOP_FAULTS=long runs the long forms, too. The status is 1 when a row fails; the table is written all the same.
package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: report FILE")
		os.Exit(2)
	}
	if err := run(context.Background(), os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "report:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, file string) error {
	cmd := exec.CommandContext(ctx, "go", "test", "-json", "-count=1", "-timeout=60m", "./faults/")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return err
	}
	s, err := read(out)
	failed := cmd.Wait()
	if err != nil {
		return err
	}
	return errors.Join(failed, os.WriteFile(file, s.table(time.Since(start)), 0o644)) //nolint:gosec // a page for everybody
}

// event is what test2json says of one test.
type event struct {
	Action, Test, Key, Value, Output string
}

// result is a test: what it measured, and how it ended.
type result struct {
	row            int
	fault, measure string
	figures        []string
	verdict        string
}

// suite is all results by the name of the test.
type suite struct {
	tests   map[string]*result
	missing []string
}

// read follows the tests, and shows each end of one.
func read(r io.Reader) (*suite, error) {
	s := &suite{tests: map[string]*result{}}
	for dec := json.NewDecoder(r); ; {
		var e event
		if err := dec.Decode(&e); errors.Is(err, io.EOF) {
			return s, nil
		} else if err != nil {
			return s, err
		}
		if e.Test != "" {
			s.take(e)
		}
	}
}

func (s *suite) take(e event) {
	top, _, sub := strings.Cut(e.Test, "/")
	t := s.tests[top]
	if t == nil {
		t = &result{}
		s.tests[top] = t
	}
	switch e.Action {
	case "attr":
		s.attr(t, e)
	case "pass", "fail", "skip":
		if sub {
			return
		}
		t.verdict = e.Action
		fmt.Println(e.Action, top)
	case "output":
		if why, ok := strings.CutPrefix(e.Output, "    "); ok && strings.Contains(e.Output, "needs") { // a skip says what it needs
			t.figures = append(t.figures, strings.TrimSpace(why))
		}
	}
}

func (s *suite) attr(t *result, e event) {
	switch e.Key {
	case "row":
		t.row, _ = strconv.Atoi(e.Value)
	case "fault":
		t.fault = e.Value
	case "measure":
		t.measure = e.Value
	case "figure":
		t.figures = append(t.figures, e.Value)
	case "missing":
		s.missing = append(s.missing, e.Value)
	}
}

// most figures of a test that are shown: those of a loop repeat themselves.
const most = 6

// table is the page.
func (s *suite) table(took time.Duration) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# Faults\nWritten by `make faults` on %s in %s. F0: no idempotent call fails while a healthy endpoint, budget and deadline remain.\n"+
		"Every attempt is counted by the servers' own ledgers. A row may have several tests.\n\n"+
		"| row | fault | measure | figures | verdict |\n|---|---|---|---|---|\n",
		time.Now().UTC().Format(time.DateOnly), took.Round(time.Second))
	names := slices.SortedFunc(maps.Keys(s.tests), func(x, y string) int {
		return cmp.Or(cmp.Compare(s.tests[x].row, s.tests[y].row), cmp.Compare(x, y))
	})
	for _, name := range names {
		t := s.tests[name]
		if t.row == 0 {
			continue
		}
		figures := t.figures
		if len(figures) > most {
			figures = append(slices.Clone(figures[:most]), fmt.Sprintf("and %d more", len(t.figures)-most))
		}
		fmt.Fprintf(&b, "| %d | %s | %s | %s | %s |\n", t.row, cell(t.fault), cell(t.measure), cell(strings.Join(figures, "; ")), t.verdict)
	}
	fmt.Fprint(&b, "\n## Beside the rows\n| test | verdict |\n|---|---|\n")
	for _, name := range names {
		if t := s.tests[name]; t.row == 0 {
			fmt.Fprintf(&b, "| %s | %s |\n", name, t.verdict)
		}
	}
	if len(s.missing) > 0 {
		fmt.Fprintf(&b, "\n## Missing\n- %s\n", strings.Join(s.missing, "\n- "))
	}
	return b.Bytes()
}

// cell keeps a text within its cell.
func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }

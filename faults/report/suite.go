package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"
	"time"
)

// event is what test2json says of one test.
type event struct {
	Time                                      time.Time
	Action, Package, Test, Key, Value, Output string
	Elapsed                                   float64 // seconds
}

// result is a test: what it measured, and how it ended.
type result struct {
	name           string
	row            int
	fault, measure string
	figures        []string
	missing        []string
	verdict        string // "": it has not ended
	took           time.Duration
}

// suite is all results by package and name of the test, as they ended last.
type suite struct {
	tests   map[string]*result
	running map[string]*result
}

func newSuite() *suite { return &suite{tests: map[string]*result{}, running: map[string]*result{}} }

// read follows the tests to the end of what go test says.
func (s *suite) read(r io.Reader) error {
	for dec := json.NewDecoder(r); ; {
		var e event
		if err := dec.Decode(&e); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if e.Test != "" {
			s.take(e)
		}
	}
}

func (s *suite) take(e event) {
	top, _, sub := strings.Cut(e.Test, "/")
	key := e.Package + " " + top
	t := s.running[key]
	if t == nil || e.Action == "run" && !sub {
		t = &result{name: top}
		if strings.HasSuffix(e.Package, "/heavy") {
			t.name = path.Join("heavy", top)
		}
		s.running[key] = t
	}
	switch e.Action {
	case "attr":
		t.attr(e)
	case "pass", "fail", "skip":
		if !sub {
			s.end(key, t, e)
		}
	case "output":
		if why, ok := strings.CutPrefix(e.Output, "    "); ok && strings.Contains(e.Output, "needs") { // a skip says what it needs
			t.figures = append(t.figures, strings.TrimSpace(why))
		}
	}
}

// end books how a test ended. One that is skipped now keeps what it measured when it ran.
func (s *suite) end(key string, t *result, e event) {
	t.verdict, t.took = e.Action, time.Duration(e.Elapsed*float64(time.Second))
	if before := s.tests[key]; before == nil || t.verdict != "skip" {
		s.tests[key] = t
	}
}

// failed is the tests that failed; nil: none.
func (s *suite) failed() error {
	var errs []error
	for _, t := range s.tests {
		if t.verdict == "fail" {
			errs = append(errs, fmt.Errorf("%s failed", t.name))
		}
	}
	return errors.Join(errs...)
}

func (t *result) attr(e event) {
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
		t.missing = append(t.missing, e.Value)
	}
}

// ends shows how each test ended, out of the lines of go test -json.
type ends struct{ w io.Writer }

func (p ends) Write(b []byte) (int, error) {
	for line := range bytes.Lines(b) {
		var e event
		if json.Unmarshal(line, &e) != nil || e.Test == "" || strings.Contains(e.Test, "/") {
			continue
		}
		if e.Action == "pass" || e.Action == "fail" || e.Action == "skip" {
			_, _ = fmt.Fprintln(p.w, e.Action, e.Test)
		}
	}
	return len(b), nil
}

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Every rule names a test, and text that differs from what stands there without it.
func TestRulesAreWhole(t *testing.T) {
	names := map[string]bool{}
	for _, r := range rules {
		if r.name == "" || r.tests == "" || r.old == r.new || names[r.name] || strings.Contains(r.name, "|") {
			t.Errorf("rule %+v", r)
		}
		names[r.name] = true
		content, err := os.ReadFile(filepath.Join("..", "..", r.file))
		if err != nil {
			t.Error(err)
		}
		if n := strings.Count(string(content), r.old); n != 1 {
			t.Errorf("%s: %q stands %d times in %s", r.name, r.old, n, r.file)
		}
	}
	if len(rules) < 15 {
		t.Errorf("%d rules", len(rules))
	}
}

func TestTableKeepsWhatWasNotTried(t *testing.T) {
	file := filepath.Join(t.TempDir(), "page.md")
	first, second := rules[0].name, rules[1].name
	if err := os.WriteFile(file, []byte("before\n"+begin+end+"after\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, found := range []map[string]verdict{{first: {[]string{"TestRow1"}}}, {second: {}}} {
		if err := write(file, found); err != nil {
			t.Fatal(err)
		}
	}
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	page := string(content)
	for _, want := range []string{"before\n" + begin, "| " + first + " | " + rules[0].file + " | noticed by TestRow1 |\n",
		"| " + second + " | " + rules[1].file + " | SURVIVED |\n", "| not tried |\n", end + "after\n"} {
		if !strings.Contains(page, want) {
			t.Errorf("%q is not in\n%s", want, page)
		}
	}
	if err := write(filepath.Join(t.TempDir(), "none.md"), nil); err == nil {
		t.Error("no file, and no error")
	}
}

func TestJudge(t *testing.T) {
	failure := os.ErrInvalid
	for out, want := range map[string]string{
		"ok\n--- FAIL: TestRow9 (1.00s)\n    --- FAIL: TestRow9/sub (0.1s)\n--- FAIL: TestRow59 (2s)\nFAIL\n": "TestRow9 TestRow59",
		"panic: deadlock\n": "a panic of the tests",
	} {
		failed, err := judge([]byte(out), failure)
		if got := strings.Join(failed, " "); got != want || err != nil {
			t.Errorf("%q: %s, %v; want %s", out, got, err, want)
		}
	}
	for _, out := range []string{"FAIL\tfaults [build failed]\n", "no network\n"} {
		if failed, err := judge([]byte(out), failure); err == nil {
			t.Errorf("%q passes for %v", out, failed)
		}
	}
}

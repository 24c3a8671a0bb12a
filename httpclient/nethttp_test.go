package httpclient_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var netHTTPRun = flag.String("nethttp", "", "run only this test of net/http in TestNetHTTP")

// TestNetHTTP runs net/http's own client tests with this package's Transport around their clients. The standard library's
// test files are not copied: the go command's -overlay shows it a patched newClientServerTest and one more file
// (testdata/nethttp), and everything else, the exported internals included, is as the toolchain has it. A test that fails
// wrapped is run again with the bare Transport: what fails there too is not ours. And once more wrapped: some of them depend
// on moments that a loaded machine moves, with the wrapper or without.
func TestNetHTTP(t *testing.T) {
	if testing.Short() {
		t.Skip("builds net/http's test binary")
	}
	root, err := exec.CommandContext(t.Context(), "go", "env", "GOROOT").Output()
	if err != nil {
		t.Skipf("needs the go command: %v", err)
	}
	dir := filepath.Join(strings.TrimSpace(string(root)), "src", "net", "http")
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("needs the source of the standard library: %v", err)
	}
	tests, base, out := selectTests(t, dir)
	h := harness{bin: buildOverlaid(t, dir), dir: dir, skip: out, ledger: filepath.Join(t.TempDir(), "ledger")}
	h.judge(t, "wrapped", tests)
	h.judge(t, "base", base)
	through := readLines(t, h.ledger)
	t.Logf("%d tests of net/http sent requests through the wrapper, %d with their subtests, of these %d over the test's own "+
		"transport; left out: %v", len(topLevel(through)), len(through), len(base), out)
}

// selectTests are the tests of net/http that have a client and a server, by what is put around the client.
func selectTests(t *testing.T, dir string) (wrapped, base, out []string) {
	t.Helper()
	if *netHTTPRun != "" {
		return []string{*netHTTPRun}, nil, nil
	}
	for _, line := range readLines(t, "testdata/nethttp/skip.txt") {
		switch word := strings.Fields(line); word[0] {
		case "base":
			base = append(base, word[1])
		case "out":
			out = append(out, word[1])
		}
	}
	return slices.DeleteFunc(clientTests(t, dir), func(name string) bool { return slices.Contains(base, name) }), base, out
}

// harness runs the built tests.
type harness struct {
	bin, dir, ledger string
	skip             []string
}

// judge runs tests under a mode of the wrapper, and fails where the bare transport does not fail.
func (h *harness) judge(t *testing.T, mode string, tests []string) {
	t.Helper()
	if len(tests) == 0 {
		return
	}
	failed, output := h.run(t, mode, tests)
	if len(failed) == 0 {
		return
	}
	both, _ := h.run(t, "plain", failed)
	if len(both) > 0 {
		t.Logf("these fail without the wrapper too: %v", both)
	}
	once := slices.DeleteFunc(failed, func(name string) bool { return slices.Contains(both, name) })
	if len(once) == 0 {
		return
	}
	t.Logf("%s: these failed with the wrapper alone: %v\n%s", mode, once, output)
	if twice, output := h.run(t, mode, once); len(twice) > 0 {
		t.Errorf("%s: these fail with the wrapper alone, again: %v\n%s", mode, twice, output)
	}
}

// clientTests lists the tests that reach newClientServerTest through functions of the package.
func clientTests(t *testing.T, dir string) []string {
	t.Helper()
	uses := map[string]map[string]bool{}
	for _, file := range glob(t, dir) {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Body != nil {
				addIdents(uses, fn)
			}
		}
	}
	reached := map[string]bool{"newClientServerTest": true}
	for grown := true; grown; {
		grown = false
		for name, idents := range uses {
			if !reached[name] && intersects(idents, reached) {
				reached[name], grown = true, true
			}
		}
	}
	var tests []string
	for name := range reached {
		if strings.HasPrefix(name, "Test") {
			tests = append(tests, name)
		}
	}
	slices.Sort(tests)
	return tests
}

func addIdents(uses map[string]map[string]bool, fn *ast.FuncDecl) {
	idents := uses[fn.Name.Name]
	if idents == nil {
		idents = map[string]bool{}
		uses[fn.Name.Name] = idents
	}
	ast.Inspect(fn.Body, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok {
			idents[id.Name] = true
		}
		return true
	})
}

func intersects(a, b map[string]bool) bool {
	for k := range a {
		if b[k] {
			return true
		}
	}
	return false
}

// buildOverlaid compiles net/http's tests with the wrapper inside and returns the binary.
func buildOverlaid(t *testing.T, dir string) string {
	t.Helper()
	tmp := t.TempDir()
	replace := map[string]string{}
	for _, file := range glob(t, dir) {
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if patched := patch(t, src); !bytes.Equal(src, patched) {
			replace[file] = filepath.Join(tmp, filepath.Base(file))
			if err := os.WriteFile(replace[file], patched, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	if len(replace) == 0 || replace[filepath.Join(dir, "clientserver_test.go")] == "" {
		t.Fatal("newClientServerTest has changed its form: bring patch up to date")
	}
	added, err := filepath.Abs("testdata/nethttp/onehop_test.go")
	if err != nil {
		t.Fatal(err)
	}
	replace[filepath.Join(dir, "zz_onehop_test.go")] = added
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	overlayFile, bin := filepath.Join(tmp, "overlay.json"), filepath.Join(tmp, "nethttp.test")
	if err := os.WriteFile(overlayFile, overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"test", "-c", "-o", bin, "-overlay", overlayFile}
	if raceEnabled {
		args = append(args, "-race")
	}
	if out, err := exec.CommandContext(t.Context(), "go", append(args, "net/http")...).CombinedOutput(); err != nil {
		t.Fatalf("building: %v\n%s", err, out)
	}
	return bin
}

var clientDone = regexp.MustCompile(`(?m)^\tt\.Cleanup\(func\(\) \{\n\t\tcst\.close\(\)`)

// patch routes newClientServerTest's client through wrapClient, and assertions x.Transport.(*Transport) through baseOf.
func patch(t *testing.T, src []byte) []byte {
	t.Helper()
	src = clientDone.ReplaceAll(src, []byte("\twrapClient(cst)\n$0"))
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, "", src, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	if f.Name.Name != "http_test" {
		return src
	}
	at := func(p token.Pos) int { return fset.Position(p).Offset }
	var out []byte
	done := 0
	ast.Inspect(f, func(n ast.Node) bool {
		assert, ok := n.(*ast.TypeAssertExpr)
		if !ok || !isTransportPointer(assert.Type) {
			return true
		}
		if x, ok := assert.X.(*ast.SelectorExpr); !ok || x.Sel.Name != "Transport" {
			return true
		}
		out = append(out, src[done:at(assert.X.Pos())]...)
		out = append(out, "baseOf("+string(src[at(assert.X.Pos()):at(assert.X.End())])+")"...)
		done = at(assert.End())
		return false
	})
	return append(out, src[done:]...)
}

func isTransportPointer(typ ast.Expr) bool {
	star, ok := typ.(*ast.StarExpr)
	if !ok {
		return false
	}
	id, ok := star.X.(*ast.Ident)
	return ok && id.Name == "Transport"
}

var failLine = regexp.MustCompile(`(?m)^--- FAIL: (Test\w+)`)

// run runs the named tests and returns those that failed, with the output.
func (h *harness) run(t *testing.T, mode string, tests []string) (failed []string, output string) {
	t.Helper()
	skip := make([]string, len(h.skip))
	for i, name := range h.skip {
		skip[i] = "^" + strings.ReplaceAll(name, "/", "$/^") + "$"
	}
	// Short: net/http's tests then run in parallel and leave the slowest out.
	cmd := exec.CommandContext(t.Context(), h.bin, "-test.short", "-test.timeout=10m",
		"-test.run=^("+strings.Join(tests, "|")+")$", "-test.skip="+strings.Join(skip, "|"))
	cmd.Dir = h.dir
	cmd.Env = append(os.Environ(), "ONEHOP_NETHTTP="+mode, "ONEHOP_NETHTTP_LEDGER="+h.ledger)
	out, err := cmd.CombinedOutput()
	for _, m := range failLine.FindAllSubmatch(out, -1) {
		failed = append(failed, string(m[1]))
	}
	if err != nil && (len(failed) == 0 || bytes.Contains(out, []byte("\npanic: "))) { // which hides the tests that never ran
		t.Fatalf("%v\n%s", err, out)
	}
	return failed, string(out)
}

func readLines(t *testing.T, file string) []string {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // only read
	var lines []string
	for s := bufio.NewScanner(f); s.Scan(); {
		lines = append(lines, s.Text())
	}
	return lines
}

func topLevel(tests []string) map[string]bool {
	top := map[string]bool{}
	for _, name := range tests {
		name, _, _ = strings.Cut(name, "/")
		top[name] = true
	}
	return top
}

func glob(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no test files in %s: %v", dir, err)
	}
	return files
}

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
	"runtime"
	"slices"
	"strings"
	"testing"
)

var netHTTPRun = flag.String("nethttp", "", "run only this test of net/http in TestNetHTTP")

// TestNetHTTP runs net/http's own client tests with this package's Transport around their clients. The standard library's
// test files are not copied: the go command's -overlay shows it a patched newClientServerTest and one more file
// (testdata/nethttp), and everything else, the exported internals included, is as the toolchain has it. A test that fails
// wrapped is run again with the bare Transport: what fails there too is not ours.
func TestNetHTTP(t *testing.T) {
	if testing.Short() {
		t.Skip("builds net/http's test binary")
	}
	dir := filepath.Join(runtime.GOROOT(), "src", "net", "http")
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("needs the source of the standard library: %v", err)
	}
	tests := clientTests(t, dir)
	skipped := skipList(t)
	run := slices.DeleteFunc(slices.Clone(tests), func(name string) bool { return skipped[name] })
	if *netHTTPRun != "" {
		run = []string{*netHTTPRun}
	}
	bin := buildOverlaid(t, dir)
	ledger := filepath.Join(t.TempDir(), "ledger")

	failed, out := runTests(t, bin, dir, run, "ONEHOP_NETHTTP=wrapped", "ONEHOP_NETHTTP_LEDGER="+ledger)
	t.Logf("net/http has %d tests with a client and a server; left out %d; sent through the wrapper by %d tests, %d with subtests",
		len(tests), len(tests)-len(run), len(topLevel(readLines(t, ledger))), len(readLines(t, ledger)))
	if len(failed) == 0 {
		return
	}
	both, _ := runTests(t, bin, dir, failed, "ONEHOP_NETHTTP=plain")
	ours := slices.DeleteFunc(failed, func(name string) bool { return slices.Contains(both, name) })
	if len(both) > 0 {
		t.Logf("these fail without the wrapper too: %v", both)
	}
	if len(ours) > 0 {
		t.Errorf("these fail with the wrapper alone: %v\n%s", ours, out)
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

// runTests runs the named tests and returns those that failed, with the output.
func runTests(t *testing.T, bin, dir string, names []string, env ...string) (failed []string, output string) {
	t.Helper()
	// Not verbose, and short: net/http's tests then run in parallel and leave the slowest out.
	cmd := exec.CommandContext(t.Context(), bin, "-test.short", "-test.timeout=120s", "-test.run=^("+strings.Join(names, "|")+")$")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	for _, m := range failLine.FindAllSubmatch(out, -1) {
		failed = append(failed, string(m[1]))
	}
	if err != nil && len(failed) == 0 {
		t.Fatalf("%v\n%s", err, out)
	}
	return failed, string(out)
}

// skipList reads testdata/nethttp/skip.txt: a test and the reason why it cannot speak about a wrapper.
func skipList(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	for _, line := range readLines(t, "testdata/nethttp/skip.txt") {
		if name, _, ok := strings.Cut(line, " "); ok && name != "#" {
			names[name] = true
		}
	}
	return names
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

package consultest

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// smallBuild is a program without imports.
func smallBuild(t *testing.T) *build {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "go.mod"), "module small\n\ngo 1.26.0\n")
	write(t, filepath.Join(dir, "main.go"), "package main\n\nfunc main() { println(\"small\") }\n")
	return &build{
		name: "Small", dir: dir, pkg: "small", out: filepath.Join(dir, "cache", "small"),
		check: func(path string) error {
			return exec.CommandContext(t.Context(), path).Run()
		},
	}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// However many ask at once, one compiles, the progress it shows is true, and all find the same binary.
func TestBuildHappensOnceAndCountsTruly(t *testing.T) {
	b := smallBuild(t)
	b.env = []string{"GOCACHE=" + filepath.Join(b.dir, "gocache")} // empty: the runtime's packages are the work
	outputs := make([]bytes.Buffer, 3)
	var all sync.WaitGroup
	for i := range outputs {
		all.Go(func() {
			if err := b.once(t.Context(), &outputs[i]); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	var built, said string
	for i := range outputs {
		if s := outputs[i].String(); strings.Contains(s, "built, kept at") {
			built += s
		} else {
			said += s
		}
	}
	if strings.Count(built, "built, kept at") != 1 || strings.Contains(said, "compiling") {
		t.Fatalf("want one build, the others waiting:\n%s\nothers:\n%s", built, said)
	}
	counts := regexp.MustCompile(`compiling 0 of (\d+) packages`).FindStringSubmatch(built)
	if counts == nil || counts[1] == "0" || !strings.Contains(built, ", "+counts[1]+" packages compiled in ") {
		t.Errorf("the total told at first is not what was compiled:\n%s", built)
	}
	if err := b.check(b.out); err != nil {
		t.Error(err)
	}
}

func TestFailedBuildLeavesNothingAndSaysWhy(t *testing.T) {
	b := smallBuild(t)
	write(t, filepath.Join(b.dir, "main.go"), "package main\n\nfunc main() { undefinedName() }\n")
	var out bytes.Buffer
	err := b.once(t.Context(), &out)
	if err == nil || !strings.Contains(err.Error(), "undefinedName") {
		t.Errorf("error %v does not name what is wrong", err)
	}
	if _, err := os.Stat(b.out); !os.IsNotExist(err) {
		t.Errorf("a failed build left %s: %v", b.out, err)
	}
}

// What a shared cache may hold is checked before it gets its place.
func TestBuildOfWrongVersionIsRefused(t *testing.T) {
	b := smallBuild(t)
	b.check = func(string) error { return fmt.Errorf("wrong version") }
	if err := b.once(t.Context(), &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), "wrong version") {
		t.Errorf("error %v", err)
	}
	if _, err := os.Stat(b.out); !os.IsNotExist(err) {
		t.Error("a refused build got its place")
	}
}

func TestToolModulePinsVersion(t *testing.T) {
	dir, err := toolsDir(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	if want := "github.com/hashicorp/consul v" + Version + " "; !strings.Contains(string(mod), want) {
		t.Errorf("tools/go.mod has no line %q", want)
	}
}

func TestProgressLines(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, row := range []struct {
		name        string
		total, done int
		after       time.Duration
		want        string
	}{
		{"begun", 40, 0, 0, "Consul ░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░   0 % compiling 0 of 40 packages, 0s"},
		{"half", 40, 20, 61 * time.Second, "Consul ███████████████░░░░░░░░░░░░░░░  50 % compiling 20 of 40 packages, 1m1s"},
		{"all", 40, 40, time.Minute, "Consul ██████████████████████████████ 100 % 40 packages compiled, linking, 1m0s"},
		{"nothing to compile", 0, 0, time.Second, "Consul ██████████████████████████████ 100 % 0 packages compiled, linking, 1s"},
		{"more than listed", 40, 41, time.Second, "Consul ██████████████████████████████ 100 % 41 packages compiled, linking, 1s"},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := progress{name: "Consul", total: row.total, done: row.done, start: start}
			if got := p.line(start.Add(row.after)); got != row.want {
				t.Errorf("\n got %s\nwant %s", got, row.want)
			}
		})
	}
}

func TestProgressPrintsElevenLinesOffTerminal(t *testing.T) {
	var out bytes.Buffer
	p := newProgress(&out, "Consul", 1000)
	for range 1000 {
		p.step()
	}
	if got := strings.Count(out.String(), "\n"); got != 11 { // 0 %, 10 %, ... 100 %
		t.Errorf("%d lines:\n%s", got, out.String())
	}
}

// Command mutate takes each safety rule out of a copy of the code, one after the other, and runs the rows of the fault
// suite that must notice, and that pass with the rule. A rule that no row misses is a hole in the suite: mutate ends with
// status 1.
//
//	go run ./faults/mutate [-table faults/README.md] [name...]
//
// With names, only the rules whose names contain one. With -table, what was found is written into the file's table; the
// lines of rules that were not tried stay.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

func main() {
	table := flag.String("table", "", "the file whose table of rules is brought up to date")
	flag.Parse()
	if err := run(context.Background(), *table, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "mutate:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, file string, only []string) error {
	dir, err := os.MkdirTemp("", "onehop-mutate-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary folder
	if err := copyTree(ctx, dir); err != nil {
		return err
	}
	chosen := slices.DeleteFunc(slices.Clone(rules), func(r rule) bool {
		return len(only) > 0 && !slices.ContainsFunc(only, func(s string) bool { return strings.Contains(r.name, s) })
	})
	if err := control(ctx, dir, chosen); err != nil {
		return err
	}
	found, err := takeOut(ctx, dir, file, chosen)
	survived := 0
	for _, v := range found {
		if !v.noticed() {
			survived++
		}
	}
	fmt.Printf("%d rules taken out, %d noticed\n", len(found), len(found)-survived)
	if survived > 0 {
		err = errors.Join(err, fmt.Errorf("%d rules are not guarded", survived))
	}
	return err
}

// control runs the tests of the chosen rules with every rule in place: one that fails anyway would tell nothing.
func control(ctx context.Context, dir string, chosen []rule) error {
	var tests []string
	for _, r := range chosen {
		tests = append(tests, r.tests)
	}
	start := time.Now()
	failed, err := test(ctx, dir, strings.Join(tests, "|"))
	if err == nil && len(failed) > 0 {
		err = errors.New(strings.Join(failed, ", "))
	}
	if err != nil {
		return fmt.Errorf("with every rule in place: %w", err)
	}
	fmt.Printf("with every rule in place: all pass (%s)\n", time.Since(start).Round(time.Second))
	return nil
}

// takeOut tries the chosen rules, one after the other, and writes each verdict into file at once.
func takeOut(ctx context.Context, dir, file string, chosen []rule) (map[string]verdict, error) {
	found := map[string]verdict{}
	for _, r := range chosen {
		start := time.Now()
		failed, err := r.try(ctx, dir)
		if err != nil {
			return found, fmt.Errorf("%s: %w", r.name, err)
		}
		v := verdict{failed}
		found[r.name] = v
		fmt.Printf("%s: %s (%s)\n", r.name, v, time.Since(start).Round(time.Second))
		if file == "" {
			continue
		}
		if err := write(file, found); err != nil {
			return found, err
		}
	}
	return found, nil
}

// copyTree copies what git knows of the module that the command is run in, changes not yet committed included.
func copyTree(ctx context.Context, dir string) error {
	out, err := exec.CommandContext(ctx, "git", "ls-files", "-co", "--exclude-standard").Output()
	if err != nil {
		return fmt.Errorf("git ls-files (run it at the module's root): %w", err)
	}
	for name := range strings.Lines(string(out)) {
		name = strings.TrimSpace(name)
		content, err := os.ReadFile(name)
		if errors.Is(err, os.ErrNotExist) {
			continue // deleted, not yet committed
		}
		if err != nil {
			return err
		}
		to := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(to), 0o750); err != nil {
			return err
		}
		if err := os.WriteFile(to, content, 0o600); err != nil { //nolint:gosec // the copy is ours
			return err
		}
	}
	return nil
}

// try takes the rule out, runs its tests, and puts it back. It returns the tests that failed.
func (r *rule) try(ctx context.Context, dir string) (failed []string, err error) {
	path := filepath.Join(dir, r.file)
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if n := bytes.Count(content, []byte(r.old)); n != 1 {
		return nil, fmt.Errorf("%q stands %d times in %s; the list is behind the code", r.old, n, r.file)
	}
	defer func() { err = errors.Join(err, os.WriteFile(path, content, 0o600)) }()                              //nolint:gosec // the copy is ours
	if err := os.WriteFile(path, bytes.Replace(content, []byte(r.old), []byte(r.new), 1), 0o600); err != nil { //nolint:gosec // as above
		return nil, err
	}
	return test(ctx, dir, r.tests)
}

// test runs those tests of the fault suite in dir. It returns the tests that failed.
func test(ctx context.Context, dir, tests string) (failed []string, err error) {
	cmd := exec.CommandContext(ctx, "go", "test", "-vet=off", "-count=1", "-failfast", "-timeout=4m", "-run", tests, "./faults/")
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err == nil {
		return nil, nil
	}
	return judge(out, err)
}

// judge finds the failed tests in what go test said.
func judge(out []byte, err error) (failed []string, _ error) {
	for line := range strings.Lines(string(out)) {
		if name, ok := strings.CutPrefix(line, "--- FAIL: "); ok {
			failed = append(failed, strings.Fields(name)[0])
		}
	}
	switch {
	case bytes.Contains(out, []byte("[build failed]")):
		return nil, fmt.Errorf("without the rule it does not build: %w\n%s", err, out)
	case len(failed) > 0:
		return failed, nil
	case bytes.Contains(out, []byte("panic: ")), bytes.Contains(out, []byte("deadlock")):
		return []string{"a panic of the tests"}, nil
	}
	return nil, fmt.Errorf("the tests did not run: %w\n%s", err, out)
}

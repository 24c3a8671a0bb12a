// Command report runs the fault suite, faults/heavy too, and writes what it measured as a table: row, fault, measure,
// figures, verdict.
//
//	go run ./faults/report [-from FILE]... [-run=false] docs/faults.md
//
// ONEHOP_FAULTS=long runs the long forms, too. With -from, what `go test -json` wrote into FILE before counts as well, as
// that of a soak that took an hour; a test that ran again since counts as it ended last, unless it was skipped. The
// status is 1 when a row fails; the table is written all the same.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"
)

func main() {
	var files []string
	flag.Func("from", "a file of `go test -json`, to be counted too; may be given again", func(name string) error {
		files = append(files, name)
		return nil
	})
	alone := flag.Bool("run", true, "run the suite")
	flag.Parse()
	if flag.NArg() != 1 {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(context.Background(), files, *alone, flag.Arg(0)); err != nil {
		fmt.Fprintln(os.Stderr, "report:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, files []string, alone bool, page string) error {
	s := newSuite()
	for _, name := range files {
		if err := s.readFile(name); err != nil {
			return err
		}
	}
	if alone {
		for _, module := range []string{".", "faults/heavy"} {
			if err := s.test(ctx, module); err != nil {
				return err
			}
		}
	}
	if err := os.WriteFile(page, s.page(time.Now()), 0o644); err != nil { //nolint:gosec // a page for everybody
		return err
	}
	return s.failed()
}

func (s *suite) readFile(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(s.read(f), f.Close())
}

// test runs the suite's part in module. That tests fail is told by the results.
func (s *suite) test(ctx context.Context, module string) error {
	path := "./faults/"
	if module != "." {
		path = "./..."
	}
	cmd := exec.CommandContext(ctx, "go", "test", "-json", "-count=1", "-timeout=60m", path)
	cmd.Dir = module
	cmd.Env = append(os.Environ(), "GOWORK=off")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	if err := s.read(io.TeeReader(out, ends{os.Stdout})); err != nil {
		return err
	}
	if err := cmd.Wait(); err != nil && s.failed() == nil {
		return fmt.Errorf("%s: %w", module, err)
	}
	return nil
}

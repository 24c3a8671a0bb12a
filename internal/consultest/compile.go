package consultest

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// compile runs go build and shows how many of the packages that need compiling it has begun.
func (b *build) compile(ctx context.Context, w io.Writer, out string) error {
	// The first go command also fetches the modules, which go reports on stderr by itself; there is no total to show.
	fmt.Fprintf(w, "%s: not here, so it is built once (a few minutes) and kept at %s\n", b.name, b.out)
	total, err := b.stale(ctx)
	if err != nil {
		return err
	}
	args := append([]string{"build", "-mod=readonly", "-v", "-o", out}, b.flags...)
	cmd := b.goCommand(ctx, append(args, b.pkg)...)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("go build: %w", err)
	}
	show := newProgress(w, b.name, total)
	complaints := countPackages(stderr, show)
	if err := cmd.Wait(); err != nil {
		show.end("failed")
		return fmt.Errorf("go build in %s: %w\n%s", b.dir, err, complaints)
	}
	show.end("built, kept at " + b.out)
	return nil
}

// countPackages reads what go build -v prints: the path of each package as its compilation begins, and complaints,
// which it returns.
func countPackages(r io.Reader, show *progress) string {
	lines := make(chan string)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(r); s.Scan(); {
			lines <- s.Text()
		}
	}()
	tick := time.NewTicker(time.Second) // so that the elapsed time moves while one package takes long, and in the link
	defer tick.Stop()
	var complaints strings.Builder
	for {
		select {
		case line, more := <-lines:
			switch {
			case !more:
				return complaints.String()
			case isImportPath(line):
				show.step()
			default:
				complaints.WriteString(line + "\n")
			}
		case <-tick.C:
			show.draw(time.Now())
		}
	}
}

// isImportPath tells a package's line from a compiler's complaint ("# path", "file.go:1:2: ...", "go: downloading ...").
func isImportPath(line string) bool {
	return line != "" && !strings.ContainsAny(line, " \t:#")
}

// stale counts the packages that go build would compile: all of them at first, fewer where the build cache knows some.
func (b *build) stale(ctx context.Context) (int, error) {
	args := append([]string{"list", "-mod=readonly", "-deps", "-f", "{{if .Stale}}{{.ImportPath}}{{end}}"}, b.flags...)
	cmd := b.goCommand(ctx, append(args, b.pkg)...)
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		return 0, fmt.Errorf("go list in %s: %w\n%s", b.dir, err, complaints.String())
	}
	return len(strings.Fields(string(out))), nil
}

// goCommand prepares a go command in the tool module, independent of a workspace and of a cross-compiling caller.
func (b *build) goCommand(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = b.dir
	cmd.Env = append(os.Environ(), "PWD="+b.dir, "CGO_ENABLED=0", "GOWORK=off", "GOOS="+runtime.GOOS, "GOARCH="+runtime.GOARCH)
	cmd.Env = append(cmd.Env, b.env...)
	// Ctrl-C reaches go by itself; a cancelled ctx asks before it kills, so that go removes its work folder.
	cmd.Cancel = func() error { return terminate(cmd.Process) }
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

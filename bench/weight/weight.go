// Package weight measures what a program pays for importing onehop, beside what it pays for the peers: each of the tiny
// programs in the folder programs is built in a module of its own, as a user would, and what it links is counted.
package weight

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
)

//go:embed programs
var sources embed.FS

// root is onehop's own module, which the programs take from this checkout.
const root = "github.com/onehop-go/onehop"

// program is what a build came to.
type program struct {
	bytes   int64 // of the stripped binary
	modules int   // linked, the program's own aside
	sums    int   // lines of its go.sum
}

// build compiles a program of the folder in a module that requires the direct dependencies named, at the versions that
// this module has.
func build(ctx context.Context, name string, requires []string) (p program, err error) {
	dir, err := os.MkdirTemp("", "weight-")
	if err != nil {
		return program{}, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := write(ctx, dir, name, requires); err != nil {
		return program{}, err
	}
	binary := filepath.Join(dir, "program")
	if _, err := run(ctx, dir, "build", "-mod=mod", "-ldflags=-s -w", "-o", binary, "."); err != nil {
		return program{}, err
	}
	info, err := os.Stat(binary)
	if err != nil {
		return program{}, err
	}
	linked, err := run(ctx, dir, "version", "-m", binary)
	if err != nil {
		return program{}, err
	}
	sums, err := os.ReadFile(filepath.Join(dir, "go.sum"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // without dependencies there is none
		return program{}, err
	}
	return program{bytes: info.Size(), modules: strings.Count(linked, "\n\tdep\t"), sums: bytes.Count(sums, []byte("\n"))}, nil
}

// write makes the program's module.
func write(ctx context.Context, dir, name string, requires []string) error {
	source, err := sources.ReadFile(path.Join("programs", name, "main.go"))
	if err != nil {
		return err
	}
	checkout, err := run(ctx, "", "list", "-m", "-f", "{{.Dir}}", root)
	if err != nil {
		return err
	}
	mod := "module program\n\ngo 1.26.0\n\nreplace " + root + " => " + checkout + "\n"
	for _, r := range requires {
		version := "v0.0.0"
		if r != root {
			if version, err = run(ctx, "", "list", "-m", "-f", "{{.Version}}", r); err != nil {
				return err
			}
		}
		mod += fmt.Sprintf("\nrequire %s %s\n", r, version)
	}
	return errors.Join(
		os.WriteFile(filepath.Join(dir, "go.mod"), []byte(mod), 0o600), os.WriteFile(filepath.Join(dir, "main.go"), source, 0o600),
	)
}

// run runs the go command in dir, "" for this module's own folder, and returns what it printed.
func run(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOWORK=off")
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(complaint.Bytes()))
	}
	return strings.TrimSpace(string(out)), nil
}

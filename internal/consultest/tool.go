package consultest

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
)

// Tool is a program of a Go module that is built once and kept in the user's cache folder, as Consul is.
type Tool struct {
	Name    string // for people: "Traefik 3.6.12"
	File    string // in the cache folder, its version part of it: "traefik-3.6.12"
	Dir     string // of the module that requires it
	Package string // its main package

	check func(path string) error // of the finished program; nil: it knows the argument "version"
}

// Path is where the tool is kept, whether it was built or not.
func (t Tool) Path() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("where to keep %s: %w", t.Name, err)
	}
	return filepath.Join(cache, "onehop", t.File), nil
}

// Build makes the tool exist, if it does not, and returns its path. It tells w of what takes long. However many
// processes ask, one builds.
func (t Tool) Build(ctx context.Context, w io.Writer) (string, error) {
	path, err := t.Path()
	if err != nil {
		return "", err
	}
	b := build{name: t.Name, dir: t.Dir, pkg: t.Package, out: path, flags: slim, check: t.check}
	if b.check == nil {
		b.check = func(path string) error { return exec.CommandContext(ctx, path, "version").Run() }
	}
	return path, b.once(ctx, w)
}

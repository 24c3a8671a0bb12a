package consultest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"
)

// Version is the Consul that is built when none is at hand: the last series under the MPL-2.0. tools/go.mod pins it.
const Version = "1.14.11"

// cachedConsul remembers what binary found: finding it takes a run of `consul version`.
var cachedConsul struct {
	sync.Mutex
	path, version string
}

// binary returns the path and version of a Consul to run: the one on PATH, else the one built from the tool module.
// It tells w what it does, when that takes long.
func binary(ctx context.Context, w io.Writer) (path, version string, err error) {
	cachedConsul.Lock()
	defer cachedConsul.Unlock()
	if cachedConsul.path != "" {
		return cachedConsul.path, cachedConsul.version, nil
	}
	path, err = exec.LookPath("consul")
	if err != nil {
		path, err = builtConsul(ctx, w)
	}
	if err != nil {
		return "", "", err
	}
	version, err = consulVersion(ctx, path)
	if err != nil {
		return "", "", err
	}
	cachedConsul.path, cachedConsul.version = path, version
	return path, version, nil
}

// builtConsul returns the Consul in the user's cache folder, built first if it is not there.
func builtConsul(ctx context.Context, w io.Writer) (string, error) {
	source, err := toolsDir(ctx)
	if err != nil {
		return "", err
	}
	return Tool{
		Name: "Consul " + Version, File: "consul-" + Version, Dir: source, Package: "github.com/hashicorp/consul",
		check: func(path string) error {
			got, err := consulVersion(ctx, path)
			if err == nil && got != Version {
				err = fmt.Errorf("built Consul %s, want %s: does tools/go.mod pin another?", got, Version)
			}
			return err
		},
	}.Build(ctx, w)
}

// consulVersion asks the binary itself, since a consul on PATH may be any.
func consulVersion(ctx context.Context, path string) (string, error) {
	out, err := exec.CommandContext(ctx, path, "version").Output()
	if err != nil {
		return "", fmt.Errorf("%s version: %w", path, err)
	}
	line, _, _ := strings.Cut(string(out), "\n")
	version, ok := strings.CutPrefix(line, "Consul v")
	if !ok {
		return "", fmt.Errorf("%s version printed %q, not the version of a Consul", path, line)
	}
	return version, nil
}

// toolsDir finds the module that pins Consul, in the checkout this package was compiled from.
func toolsDir(ctx context.Context) (string, error) {
	var roots []string
	if _, file, _, ok := runtime.Caller(0); ok && filepath.IsAbs(file) { // not absolute under -trimpath
		roots = append(roots, filepath.Join(filepath.Dir(file), "..", ".."))
	}
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/onehop-go/onehop").Output()
	if err == nil {
		roots = append(roots, strings.TrimSpace(string(out)))
	}
	for _, root := range roots {
		if _, err := os.Stat(filepath.Join(root, "tools", "go.mod")); err == nil {
			return filepath.Join(root, "tools"), nil
		}
	}
	return "", errors.New("no Consul: CONSUL_HTTP_ADDR is not set, no consul is on PATH, and the module tools/ to build one from " +
		"is not here (run inside a clone of github.com/onehop-go/onehop)")
}

// slim leaves DWARF and symbols out: a fifth less to compute and half the memory, and nobody debugs the program from here.
var slim = []string{"-gcflags=all=-dwarf=false", "-ldflags=-s -w"}

// build is a program to be compiled once and kept.
type build struct {
	name  string             // for people
	dir   string             // folder of the module that requires it
	pkg   string             // its main package
	out   string             // where it is kept
	flags []string           // of go build
	env   []string           // added to the environment of go
	check func(string) error // of the finished binary, before it gets its place
}

// once makes b.out exist. However many processes ask at the same time, one builds and the others wait for it.
func (b *build) once(ctx context.Context, w io.Writer) error {
	if _, err := os.Stat(b.out); err == nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(b.out), 0o700); err != nil {
		return fmt.Errorf("build %s: %w", b.name, err)
	}
	unlock, err := b.lock(ctx, w)
	if err != nil {
		return fmt.Errorf("build %s: %w", b.name, err)
	}
	defer unlock()
	if _, err := os.Stat(b.out); err == nil { // somebody else built it meanwhile
		return nil
	}
	// Under a name of its own until it is whole: a build that is cut off leaves nothing that looks finished.
	temp := b.out + ".part"
	defer os.Remove(temp) //nolint:errcheck // gone already when all went well
	if err := b.compile(ctx, w, temp); err != nil {
		return fmt.Errorf("build %s: %w", b.name, err)
	}
	if err := b.check(temp); err != nil {
		return fmt.Errorf("build %s: %w", b.name, err)
	}
	return os.Rename(temp, b.out)
}

// lock takes the build's file lock, saying so when it has to wait.
func (b *build) lock(ctx context.Context, w io.Writer) (unlock func(), err error) {
	f, err := os.OpenFile(b.out+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	unlock = func() { _ = f.Close() }
	if tryLockFile(f) == nil {
		return unlock, nil
	}
	fmt.Fprintf(w, "%s: another process builds it; waiting (it will be kept at %s)\n", b.name, b.out)
	for tryLockFile(f) != nil {
		select {
		case <-ctx.Done():
			unlock()
			return nil, fmt.Errorf("waiting for another process to build it: %w", ctx.Err())
		case <-time.After(200 * time.Millisecond):
		}
	}
	return unlock, nil
}

package policy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// filePoll is how often a file is looked at.
const filePoll = time.Second

// fileKinds are the endings under which a document is looked for.
var fileKinds = []string{".yaml", ".yml", ".json"}

// Files watches Dir/_default.yaml (or .yml, .json) and Dir/<service>.yaml, by a look at the file every second. A missing
// file is no layer; a missing Dir is an error, so that a volume that went away takes no policy with it. One document in
// two files (.yaml and .json) is an error too. Replace files by renaming: one that is read half-written is refused until
// the next look.
type Files struct {
	Dir  string  // "": the working directory
	Base *Policy // the layer under the documents; nil: Default(). Do not change it while it is watched
}

// Watch implements Source. It returns before ctx ends only when Base or service are wrong, which it publishes.
func (f Files) Watch(ctx context.Context, service string, publish func(Revision, error)) {
	const source = "files"
	base, err := baseOf(f.Base)
	if err == nil {
		err = checkService(service)
	}
	if err != nil {
		fail(source, base, err, publish)
		return
	}
	names := namesOf(service)
	for i, name := range names {
		names[i] = filepath.Join(f.Dir, name)
	}
	newLayering(source, base, names, publish).watch(ctx, pollFile)
}

// pollFile looks at one document until ctx ends.
func pollFile(ctx context.Context, name string, take func(reading)) {
	tick := time.NewTicker(filePoll)
	defer tick.Stop()
	f := file{name: name}
	for {
		if r, changed := f.look(time.Now()); changed {
			take(r)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// file is one document as it was last seen.
type file struct {
	name string      // without its ending
	info os.FileInfo // as last read; nil: not there, or not read
	hot  bool        // written so shortly before it was read that a write after that may bear the same time
	last reading
	seen bool
}

// look reads the document if it changed, and reports whether what it holds, or why it cannot be read, did.
func (f *file) look(now time.Time) (reading, bool) {
	path, info, err := f.find()
	if err == nil && info != nil && f.info != nil && !f.hot && unchanged(info, f.info) {
		return reading{}, false
	}
	r := reading{err: err}
	if err == nil && info != nil {
		r = readFile(path, info)
	}
	f.info, f.hot = nil, false
	if r.err == nil {
		f.info, f.hot = info, info != nil && now.Sub(info.ModTime()) < 2*filePoll
	}
	r.denied = errors.Is(r.err, fs.ErrPermission)
	if f.seen && f.last.sameContent(r) {
		return reading{}, false
	}
	f.last, f.seen = r, true
	return r, true
}

// find returns the file that holds the document; info is nil when there is none.
func (f *file) find() (path string, info os.FileInfo, err error) {
	for _, kind := range fileKinds {
		candidate := f.name + kind
		i, err := os.Stat(candidate)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return "", nil, err
		case info != nil:
			return "", nil, fmt.Errorf("%s and %s both exist: remove one", path, candidate)
		}
		path, info = candidate, i
	}
	if info == nil {
		_, err = os.Stat(filepath.Dir(f.name))
	}
	return path, info, err
}

// readFile reads a document, of one that is too large just enough to tell.
func readFile(path string, info os.FileInfo) reading {
	if !info.Mode().IsRegular() { // opening a pipe would wait for its writer
		return reading{err: fmt.Errorf("%s is no regular file", path)}
	}
	f, err := os.Open(path) // the name is checked by checkService
	if err != nil {
		return reading{err: err}
	}
	defer func() { _ = f.Close() }()
	content, err := io.ReadAll(io.LimitReader(f, maxDocument+1))
	if err != nil {
		return reading{err: err}
	}
	return reading{content: content, exists: true, version: filepath.Ext(path) + " of " + info.ModTime().UTC().Format(time.RFC3339)}
}

func unchanged(a, b os.FileInfo) bool {
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// sameContent reports whether r and q say the same of a document, whenever they were read.
func (r reading) sameContent(q reading) bool {
	if r.err != nil || q.err != nil {
		return r.err != nil && q.err != nil && r.err.Error() == q.err.Error()
	}
	return r.exists == q.exists && bytes.Equal(r.content, q.content)
}

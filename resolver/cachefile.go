package resolver

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// cacheFile is where a snapshot of one target is kept.
type cacheFile struct {
	dir    string
	target Target
	source string // which agent or server the snapshot comes from

	allows func([]Endpoint) error // the source's rule for addresses; nil: it has none
}

// The first line of a file: a version, and the checksum of all that follows.
const cacheHeader = "onehop snapshot 1 sha256 "

const maxCacheFile = 64 << 20

// cacheContent is what follows, as JSON.
type cacheContent struct {
	Target    string     `json:"target"`
	Source    string     `json:"source"`
	At        time.Time  `json:"at"`
	Endpoints []Endpoint `json:"endpoints"`
}

var errNoCache = errors.New("no cached snapshot")

func newCacheFile(dir string, t Target, r Resolver) *cacheFile {
	f := &cacheFile{dir: dir, target: t, source: sourceOf(r)}
	if ruled, ok := r.(interface{ allows([]Endpoint) error }); ok {
		f.allows = ruled.allows
	}
	return f
}

// sourceOf tells apart what resolvers of one kind read.
func sourceOf(r Resolver) string {
	if s, ok := r.(interface{ source() string }); ok {
		return s.source()
	}
	return fmt.Sprintf("%T", r)
}

func (f *cacheFile) path() string { return filepath.Join(f.dir, f.name()) }

// name is readable at its beginning and unambiguous at its end.
func (f *cacheFile) name() string {
	readable := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' {
			return r
		}
		return '_'
	}, f.target.Service)
	sum := sha256.Sum256([]byte(f.source + "\n" + f.target.String()))
	return readable[:min(len(readable), 40)] + "-" + hex.EncodeToString(sum[:8]) + ".snapshot"
}

// load gives errNoCache when there is no file, another error when it is damaged.
func (f *cacheFile) load() (Snapshot, error) {
	text, err := f.read()
	if errors.Is(err, fs.ErrNotExist) {
		return Snapshot{}, errNoCache
	}
	if err != nil {
		return Snapshot{}, err
	}
	s, err := f.decode(text)
	if err != nil {
		return Snapshot{}, fmt.Errorf("%s is damaged and not used: %w", f.path(), err)
	}
	return s, nil
}

// read gives the text of a file that is one: a link may lead anywhere, and a pipe would wait for a writer.
func (f *cacheFile) read() ([]byte, error) {
	if err := private(f.dir, os.Stat); err != nil {
		return nil, err
	}
	info, err := os.Lstat(f.path())
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is no regular file, and is not used", f.path())
	}
	file, err := os.Open(f.path())
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // only read
	// Of the open file: by its name it may be another by now.
	if err := private(f.path(), func(string) (fs.FileInfo, error) { return file.Stat() }); err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(file, maxCacheFile+1))
}

// store writes beside and renames: a crash leaves the old file or the new one, and what is in the way, a link too, is
// replaced and not written through.
func (f *cacheFile) store(s Snapshot) (err error) {
	text, err := f.encode(s)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(f.dir, 0o700); err != nil {
		return err
	}
	if err := private(f.dir, os.Stat); err != nil {
		return err
	}
	temp, err := os.CreateTemp(f.dir, ".snapshot-*") // 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(temp.Name()))
		}
	}()
	_, err = temp.Write(text)
	if err = errors.Join(err, temp.Sync(), temp.Close()); err != nil {
		return err
	}
	return os.Rename(temp.Name(), f.path())
}

// private refuses what others own or may write to: who writes there decides where calls go.
func private(name string, stat func(string) (fs.FileInfo, error)) error {
	info, err := stat(name)
	switch {
	case err != nil:
		return err
	case !ours(info):
		return fmt.Errorf("%s belongs to somebody else, and is not used", name)
	case info.Mode().Perm()&0o022 != 0 && runtime.GOOS != "windows": // where the bits say nothing
		return fmt.Errorf("%s may be written to by others (%v), and is not used", name, info.Mode().Perm())
	}
	return nil
}

func (f *cacheFile) encode(s Snapshot) ([]byte, error) {
	body, err := json.Marshal(cacheContent{
		Target: f.target.String(), Source: f.source, At: s.At.Round(0), Endpoints: s.Endpoints,
	})
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(body)
	return append([]byte(cacheHeader+hex.EncodeToString(sum[:])+"\n"), body...), nil
}

func (f *cacheFile) decode(text []byte) (Snapshot, error) {
	header, body, found := bytes.Cut(text, []byte("\n"))
	sum := sha256.Sum256(body)
	switch {
	case len(text) > maxCacheFile:
		return Snapshot{}, fmt.Errorf("larger than %d bytes", maxCacheFile)
	case !found || !bytes.HasPrefix(header, []byte(cacheHeader)):
		return Snapshot{}, errors.New("no snapshot of this version")
	case string(header) != cacheHeader+hex.EncodeToString(sum[:]):
		return Snapshot{}, errors.New("the checksum is another")
	}
	var content cacheContent
	if err := json.Unmarshal(body, &content); err != nil {
		return Snapshot{}, err
	}
	if content.Target != f.target.String() || content.Source != f.source {
		return Snapshot{}, fmt.Errorf("it is of %s at %s", content.Target, content.Source)
	}
	if err := f.check(content.Endpoints); err != nil {
		return Snapshot{}, err
	}
	return Snapshot{Endpoints: content.Endpoints, Origin: "disk", At: content.At}, nil
}

// check refuses what the source would not have published.
func (f *cacheFile) check(endpoints []Endpoint) error {
	for i := range endpoints {
		if err := checkEndpoint(&endpoints[i]); err != nil {
			return err
		}
	}
	if f.allows == nil {
		return nil
	}
	return f.allows(endpoints)
}

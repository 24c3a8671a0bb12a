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
	"math/rand/v2"
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
	folder, err := f.open()
	if err != nil {
		return Snapshot{}, orNoCache(err)
	}
	defer folder.Close() //nolint:errcheck // only read
	text, err := readPrivate(folder, f.name())
	if err != nil {
		return Snapshot{}, orNoCache(err)
	}
	s, err := f.decode(text)
	if err != nil {
		return Snapshot{}, fmt.Errorf("%s is damaged and not used: %w", f.path(), err)
	}
	return s, nil
}

func orNoCache(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return errNoCache
	}
	return err
}

// store writes beside and renames: a crash leaves the old file or the new one, and what is in the way, a link too, is
// replaced and not written through.
func (f *cacheFile) store(s Snapshot) error {
	text, err := f.encode(s)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(f.dir, 0o700); err != nil {
		return err
	}
	folder, err := f.open()
	if err != nil {
		return err
	}
	defer folder.Close() //nolint:errcheck // nothing is written through it any more
	temp := fmt.Sprintf(".snapshot-%016x", rand.Uint64())
	if err := writePrivate(folder, temp, text); err != nil {
		return err
	}
	if err := folder.Rename(temp, f.name()); err != nil {
		return errors.Join(err, folder.Remove(temp))
	}
	return nil
}

// open gives the folder, which stays the same one for all that is done in it, if it is private.
func (f *cacheFile) open() (*os.Root, error) {
	folder, err := os.OpenRoot(f.dir)
	if err != nil {
		return nil, err
	}
	info, err := folder.Stat(".")
	if err == nil {
		err = private(f.dir, info)
	}
	if err != nil {
		return nil, errors.Join(err, folder.Close())
	}
	return folder, nil
}

// private refuses what others own or may write to: who writes there decides where calls go.
func private(name string, info fs.FileInfo) error {
	switch {
	case !ours(info):
		return fmt.Errorf("%s belongs to somebody else, and is not used", name)
	case info.Mode().Perm()&0o022 != 0 && runtime.GOOS != "windows": // where the bits say nothing
		return fmt.Errorf("%s may be written to by others (%v), and is not used", name, info.Mode().Perm())
	}
	return nil
}

// readPrivate reads a file that is one: a link may lead anywhere, and a pipe would wait for a writer.
func readPrivate(folder *os.Root, name string) ([]byte, error) {
	info, err := folder.Lstat(name)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is no regular file, and is not used", name)
	}
	if err := private(name, info); err != nil {
		return nil, err
	}
	file, err := folder.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // only read
	return io.ReadAll(io.LimitReader(file, maxCacheFile+1))
}

// writePrivate makes a new file, and leaves none if it fails.
func writePrivate(folder *os.Root, name string, text []byte) error {
	file, err := folder.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return errors.Join(err, folder.Remove(name))
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

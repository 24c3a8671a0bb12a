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
	return &cacheFile{dir: dir, target: t, source: sourceOf(r)}
}

// sourceOf tells apart what resolvers of one kind read.
func sourceOf(r Resolver) string {
	if s, ok := r.(interface{ source() string }); ok {
		return s.source()
	}
	return fmt.Sprintf("%T", r)
}

// path is readable at its beginning and unambiguous at its end.
func (f *cacheFile) path() string {
	readable := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' {
			return r
		}
		return '_'
	}, f.target.Service)
	sum := sha256.Sum256([]byte(f.source + "\n" + f.target.String()))
	return filepath.Join(f.dir, readable[:min(len(readable), 40)]+"-"+hex.EncodeToString(sum[:8])+".snapshot")
}

// load gives errNoCache when there is no file, another error when it is damaged.
func (f *cacheFile) load() (Snapshot, error) {
	if err := privateDir(f.dir); err != nil {
		return Snapshot{}, err
	}
	file, err := os.Open(f.path())
	if errors.Is(err, fs.ErrNotExist) {
		return Snapshot{}, errNoCache
	}
	if err != nil {
		return Snapshot{}, err
	}
	defer file.Close() //nolint:errcheck // only read
	text, err := io.ReadAll(io.LimitReader(file, maxCacheFile+1))
	if err != nil {
		return Snapshot{}, err
	}
	s, err := f.decode(text)
	if err != nil {
		return Snapshot{}, fmt.Errorf("%s is damaged and not used: %w", f.path(), err)
	}
	return s, nil
}

// store writes beside and renames: a crash leaves the old file or the new one.
func (f *cacheFile) store(s Snapshot) (err error) {
	text, err := f.encode(s)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(f.dir, 0o700); err != nil {
		return err
	}
	if err := privateDir(f.dir); err != nil {
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

// privateDir refuses a folder that others may write to. One that is not there is private.
func privateDir(dir string) error {
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Perm()&0o022 != 0 && runtime.GOOS != "windows": // where the bits say nothing
		return fmt.Errorf("%s may be written to by others (%v), and is not used", dir, info.Mode().Perm())
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
	for i := range content.Endpoints {
		if err := content.Endpoints[i].check(); err != nil {
			return Snapshot{}, err
		}
	}
	return Snapshot{Endpoints: content.Endpoints, Origin: "disk", At: content.At}, nil
}

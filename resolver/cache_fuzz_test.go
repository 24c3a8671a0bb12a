package resolver

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"path/filepath"
	"regexp"
	"testing"
	"time"
)

// signed is a file whose checksum is right, whatever it holds.
func signed(body []byte) []byte {
	sum := sha256.Sum256(body)
	return append([]byte(cacheHeader+hex.EncodeToString(sum[:])+"\n"), body...)
}

// Whatever a file with a right checksum holds, only endpoints of the target that may be called come of it.
func FuzzCacheContent(f *testing.F) {
	file := newCacheFile("", pay, Static{})
	good, err := file.encode(Snapshot{Endpoints: []Endpoint{{Addr: "a:1", Weight: 1, Status: Passing, Started: time.Unix(9, 0)}}, At: time.Unix(1, 0)})
	if err != nil {
		f.Fatal(err)
	}
	_, body, _ := bytes.Cut(good, []byte("\n"))
	f.Add(body)
	for _, s := range []string{"", "{}", "null", `{"target":"consul:///pay","source":"` + file.source + `","endpoints":[{"Addr":"a:1","Weight":-1}]}`,
		`{"target":"consul:///pay","source":"` + file.source + `","endpoints":[{"Addr":"169.254.169.254:80"}]}`,
		`{"target":"consul:///pay","source":"` + file.source + `","endpoints":[{"Addr":"a:1","Status":"x"}]}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		s, err := file.decode(signed(body))
		if err != nil {
			return
		}
		if s.Origin != "disk" {
			t.Errorf("its origin is %q", s.Origin)
		}
		for _, e := range s.Endpoints {
			wantCallable(t, e.Addr)
			if e.Weight < 0 {
				t.Errorf("%+v", e)
			}
		}
		wantCached(t, s)
	})
}

// A file that was changed in any place is as good as none.
func FuzzCacheTamper(f *testing.F) {
	file := newCacheFile("", pay, Static{})
	good, err := file.encode(Snapshot{Endpoints: []Endpoint{{Addr: "192.0.2.1:1"}}, At: time.Unix(1, 0)})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(uint(0), uint(1), []byte("O"))
	f.Add(uint(len(good)-3), uint(3), []byte{})
	f.Add(uint(len(good)), uint(0), []byte(" "))
	f.Add(uint(len(cacheHeader)), uint(64), []byte("00"))
	f.Fuzz(func(t *testing.T, at, cut uint, put []byte) {
		at = min(at, uint(len(good)))
		cut = min(cut, uint(len(good))-at)
		text := append(append(bytes.Clone(good[:at]), put...), good[at+cut:]...)
		if s, err := file.decode(text); err == nil && !bytes.Equal(text, good) {
			t.Errorf("%q is taken: %+v", text, s)
		}
	})
}

var cacheName = regexp.MustCompile(`^[A-Za-z0-9_-]{0,40}-[0-9a-f]{16}\.snapshot$`)

// Every target has a file of its own in the folder, whatever it is called.
func FuzzCachePath(f *testing.F) {
	f.Add("../../etc/passwd", "a", "b")
	f.Add("a\x00b", "", "\n")
	f.Add("CON", "..", ".")
	f.Fuzz(func(t *testing.T, service, tag, source string) {
		one := &cacheFile{dir: "folder", target: Target{Service: service, Tag: tag}, source: source}
		if dir, name := filepath.Dir(one.path()), filepath.Base(one.path()); dir != "folder" || !cacheName.MatchString(name) {
			t.Errorf("%q is kept in %q as %q", service, dir, name)
		}
		other := &cacheFile{dir: "folder", target: Target{Service: service, Tag: tag + "x"}, source: source}
		if one.path() == other.path() {
			t.Errorf("%v and %v share %s", one.target, other.target, one.path())
		}
	})
}

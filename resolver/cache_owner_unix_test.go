//go:build unix

package resolver

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// ownedBy is info of a file of another user's.
type ownedBy struct {
	fs.FileInfo
	stat syscall.Stat_t
}

func (o ownedBy) Sys() any { return &o.stat }

// A folder that somebody else made, in /tmp for example, is under their hand whatever its bits say.
func TestDiskCacheOfAnotherUserIsNotUsed(t *testing.T) {
	info, err := os.Stat(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for uid, want := range map[int]bool{os.Geteuid(): true, 0: true, os.Geteuid() + 1: false} {
		o := ownedBy{FileInfo: info}
		o.stat.Uid = uint32(uid)
		if err := private("folder", func(string) (fs.FileInfo, error) { return o, nil }); (err == nil) != want {
			t.Errorf("uid %d beside our own %d: %v", uid, os.Geteuid(), err)
		}
	}
	if os.Geteuid() != 0 {
		return // only root can give a folder away
	}
	file := newCacheFile(t.TempDir(), pay, Static{})
	if err := file.store(snapshotOf("a:1")); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(file.dir, 12345, -1); err != nil {
		t.Fatal(err)
	}
	if _, err := file.load(); err == nil || !strings.Contains(err.Error(), "somebody else") {
		t.Errorf("read: %v", err)
	}
	if err := file.store(snapshotOf("b:1")); err == nil || !strings.Contains(err.Error(), "somebody else") {
		t.Errorf("written: %v", err)
	}
}

// What stands where the file should be is neither read through nor written through.
func TestDiskCacheFollowsNothing(t *testing.T) {
	for name, put := range map[string]func(path, outside string) error{
		"link":          func(path, outside string) error { return os.Symlink(outside, path) },
		"dangling link": func(path, outside string) error { return os.Symlink(outside+".none", path) },
		"pipe":          func(path, _ string) error { return syscall.Mkfifo(path, 0o600) },
		"hard link":     func(path, outside string) error { return os.Link(outside, path) },
	} {
		t.Run(name, func(t *testing.T) {
			outside := newCacheFile(t.TempDir(), pay, Static{})
			if err := outside.store(snapshotOf("outside:1")); err != nil {
				t.Fatal(err)
			}
			before, err := os.ReadFile(outside.path())
			if err != nil {
				t.Fatal(err)
			}
			file := newCacheFile(t.TempDir(), pay, Static{})
			if err := put(file.path(), outside.path()); err != nil {
				t.Fatal(err)
			}
			if s, err := file.load(); err == nil && name != "hard link" { // which is the file itself
				t.Errorf("read %+v through it", s)
			}
			if err := file.store(snapshotOf("inside:1")); err != nil {
				t.Errorf("it is in the way: %v", err)
			}
			if s, err := file.load(); err != nil || s.Endpoints[0].Addr != "inside:1" {
				t.Errorf("wrote and read back %+v, %v", s, err)
			}
			if after, err := os.ReadFile(outside.path()); err != nil || string(after) != string(before) {
				t.Errorf("what lies outside was written to: %v", err)
			}
			if _, err := os.Lstat(outside.path() + ".none"); err == nil {
				t.Error("a file was made outside")
			}
		})
	}
}

// A file that others may write to, from a time when the folder was open, is not read.
func TestDiskCacheFileOfAllIsNotRead(t *testing.T) {
	file := newCacheFile(t.TempDir(), pay, Static{})
	if err := file.store(snapshotOf("a:1")); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(file.path(), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := file.load(); err == nil || !strings.Contains(err.Error(), "written to by others") {
		t.Errorf("read: %v", err)
	}
	if err := file.store(snapshotOf("b:1")); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(file.path())
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if left, err := filepath.Glob(filepath.Join(file.dir, ".snapshot-*")); err != nil || len(left) != 0 {
		t.Errorf("left behind: %q, %v", left, err)
	}
}

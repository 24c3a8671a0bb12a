package policy

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// folder is a watched directory in a synctest bubble.
type folder struct {
	t   *testing.T
	dir string
	log log
}

// watchFolder watches "svc" in a new directory until the test ends.
func watchFolder(t *testing.T, dir string) *folder {
	t.Helper()
	f := &folder{t: t, dir: dir}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		Files{Dir: dir}.Watch(ctx, "svc", f.log.publish)
	}()
	t.Cleanup(func() { cancel(); <-done })
	return f
}

func (f *folder) write(name, content string) {
	f.t.Helper()
	// A file's times are the kernel's, and the bubble's clock is years behind: nothing is ever taken as settled, which is
	// the harder way. TestLookReadsOnChangeOnly has the other.
	if err := os.WriteFile(filepath.Join(f.dir, name), []byte(content), 0o600); err != nil {
		f.t.Fatal(err)
	}
}

func (f *folder) remove(name string) {
	f.t.Helper()
	if err := os.Remove(filepath.Join(f.dir, name)); err != nil {
		f.t.Fatal(err)
	}
}

// published waits two looks and returns what was published, without directory and times.
func (f *folder) published() string {
	time.Sleep(2*filePoll + minSwap) // virtual
	synctest.Wait()
	var out []string
	for _, line := range f.log.next() {
		for word := range strings.FieldsSeq(strings.ReplaceAll(line, f.dir+string(filepath.Separator), "")) {
			if !strings.HasPrefix(word, "20") { // the year of a time
				out = append(out, word)
			}
		}
	}
	return strings.Join(out, " ")
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		f := watchFolder(t, dir)
		expect := func(what, want string) {
			t.Helper()
			if got := f.published(); got != want {
				t.Errorf("%s:\n got %s\nwant %s", what, got, want)
			}
		}
		expect("nothing there", "timeout 0s by files: no document, as in code")
		f.write("_default.yaml", "timeout: 1s")
		expect("a default", "timeout 1s by files: _default.yaml of")
		f.write("svc.json", `{"timeout": "2s"}`)
		expect("a service", "timeout 2s by files: _default.yaml of svc.json of")
		expect("no change", "")
		f.write("svc.json", `{"timeout": "9h"}`)
		expect("invalid", "timeout 2s by files: _default.yaml of svc.json of ! policy: svc.json of 1:13: timeout: 9h is out of range: 0 (none), or 1ms to 1h")
		f.write("svc.json", `{"timeout": "3s"}`)
		expect("mended", "timeout 3s by files: _default.yaml of svc.json of")
		f.write("svc.yml", "timeout: 4s")
		expect("two files", "timeout 3s by files: _default.yaml of svc.json of ! policy: svc.yml and svc.json both exist: remove one")
		f.remove("svc.json")
		expect("one of them removed", "timeout 4s by files: _default.yaml of svc.yml of")
		f.write("svc.yml", strings.Repeat("#", maxDocument+1))
		expect("too large", "timeout 4s by files: _default.yaml of svc.yml of ! policy: svc.yml of 1:65537: the document has 65537 bytes: at most 65536")
		f.remove("svc.yml")
		expect("removed", "timeout 1s by files: _default.yaml of")
		if err := os.Rename(dir, dir+".away"); err != nil {
			t.Fatal(err)
		}
		if got := f.published(); !strings.HasPrefix(got, "timeout 1s by files: _default.yaml of ! policy: stat "+dir) {
			t.Errorf("the directory is gone: %s", got)
		}
		if err := os.Rename(dir+".away", dir); err != nil {
			t.Fatal(err)
		}
		expect("and back", "timeout 1s by files: _default.yaml of")
		if err := os.Mkdir(filepath.Join(dir, "svc.yaml"), 0o700); err != nil {
			t.Fatal(err)
		}
		expect("a directory for a file", "timeout 1s by files: _default.yaml of ! policy: svc.yaml is no regular file")
	})
}

func TestLookReadsOnChangeOnly(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "svc.yaml")
	write := func(content string, modified time.Time) {
		t.Helper()
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, modified, modified); err != nil {
			t.Fatal(err)
		}
	}
	now := time.Now()
	f := file{name: filepath.Join(dir, "svc")}
	look := func() (string, bool) {
		r, changed := f.look(now)
		return string(r.content), changed
	}
	write("a: 1", now)
	if content, changed := look(); content != "a: 1" || !changed {
		t.Errorf("new: %q %t", content, changed)
	}
	write("a: 2", now) // the same length, within the resolution of the file's time
	if content, changed := look(); content != "a: 2" || !changed {
		t.Errorf("changed at once: %q %t", content, changed)
	}
	write("a: 2", now.Add(-time.Minute))
	if _, changed := look(); changed {
		t.Error("the same content is a change")
	}
	write("a: 3", now.Add(-time.Minute)) // what nobody does: the time says that nothing happened, so nothing is read
	if _, changed := look(); changed {
		t.Error("a settled file was read again")
	}
	write("a: 4", now.Add(-time.Second))
	if content, changed := look(); content != "a: 4" || !changed {
		t.Errorf("changed later: %q %t", content, changed)
	}
}

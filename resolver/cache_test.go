package resolver

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// scripted publishes what it is sent, until ctx ends.
type scripted chan word

func (s scripted) Watch(ctx context.Context, _ Target, publish func(Snapshot, error)) {
	for {
		select {
		case w := <-s:
			publish(w.snapshot, w.err)
		case <-ctx.Done():
			return
		}
	}
}

var errAway = errors.New("consul is away")

func snapshotOf(addrs ...string) Snapshot {
	s := Snapshot{Origin: "test", At: time.Now()}
	for _, a := range addrs {
		s.Endpoints = append(s.Endpoints, Endpoint{Addr: a, ID: "n/" + a, Weight: 3, Status: Warning, Tags: []string{"t"}, Meta: map[string]string{"k": "v"}})
	}
	return s
}

// published is what a watch told, one word each: "disk:a:1", "test:a:1", or the error.
type published struct {
	mu    sync.Mutex
	words []string
	last  Snapshot
}

func (p *published) publish(s Snapshot, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.words = append(p.words, err.Error())
		return
	}
	var addrs []string
	for _, e := range s.Endpoints {
		addrs = append(addrs, e.Addr)
	}
	p.words = append(p.words, s.Origin+":"+strings.Join(addrs, ","))
	p.last = s
}

// take is what was told since the last call.
func (p *published) take() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	words := p.words
	p.words = nil
	return words
}

// watchCached runs a watch; stop ends it.
func watchCached(r Resolver, dir string) (p *published, stop func()) {
	p = &published{}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { DiskCache(r, dir).Watch(ctx, Target{Service: "pay"}, p.publish) })
	return p, func() { synctest.Wait(); cancel(); wg.Wait() }
}

func wantWords(t *testing.T, p *published, want ...string) {
	t.Helper()
	synctest.Wait()
	if got := p.take(); !slices.Equal(got, want) {
		t.Errorf("published %q, want %q", got, want)
	}
}

func TestDiskCacheServesAtStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "onehop")
		source := make(scripted)
		first := snapshotOf("a:1", "b:2")
		p, stop := watchCached(source, dir)
		source <- word{snapshot: first}
		wantWords(t, p, "test:a:1,b:2")
		stop()

		p, stop = watchCached(source, dir)
		wantWords(t, p)
		source <- word{err: errAway}
		wantWords(t, p, "disk:a:1,b:2", errAway.Error())
		if got := p.last; !got.At.Equal(first.At) || !slices.EqualFunc(got.Endpoints, first.Endpoints, Endpoint.Equal) {
			t.Errorf("%+v came back as %+v", first, got)
		}
		source <- word{err: errAway}
		wantWords(t, p, errAway.Error())
		source <- word{snapshot: snapshotOf("c:3")}
		source <- word{err: errAway}
		wantWords(t, p, "test:c:3", errAway.Error())
		stop()
	})
}

func TestDiskCacheServesWhenNothingIsSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "onehop")
		source := make(scripted)
		_, stop := watchCached(source, dir)
		source <- word{snapshot: snapshotOf("a:1")}
		stop()
		p, stop := watchCached(source, dir)
		time.Sleep(cacheGrace)
		wantWords(t, p, "disk:a:1")
		source <- word{err: errAway}
		wantWords(t, p, errAway.Error())
		stop()
		p, stop = watchCached(source, dir)
		source <- word{snapshot: snapshotOf()}
		time.Sleep(time.Minute)
		wantWords(t, p, "test:")
		stop()
		p, stop = watchCached(source, dir)
		source <- word{err: errAway}
		wantWords(t, p, "disk:a:1", errAway.Error()) // the empty set did not replace it
		stop()
	})
}

func TestDiskCacheSavesAreCoalesced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "onehop")
		source := make(scripted)
		_, stop := watchCached(source, dir)
		file := newCacheFile(dir, Target{Service: "pay"}, source)
		written := func() string {
			synctest.Wait()
			s, err := file.load()
			if err != nil || len(s.Endpoints) != 1 {
				t.Fatalf("%+v, %v", s, err)
			}
			return s.Endpoints[0].Addr
		}
		source <- word{snapshot: snapshotOf("a:1")}
		if got := written(); got != "a:1" {
			t.Errorf("%s is written at once", got)
		}
		source <- word{snapshot: snapshotOf("b:1")}
		source <- word{snapshot: snapshotOf("c:1")}
		if got := written(); got != "a:1" {
			t.Errorf("%s is written within a second", got)
		}
		time.Sleep(minSaveInterval)
		if got := written(); got != "c:1" {
			t.Errorf("%s is written after a second", got)
		}
		source <- word{snapshot: snapshotOf("d:1")}
		stop() // and what waits is written at the end
		if got := written(); got != "d:1" {
			t.Errorf("%s is written at the end", got)
		}
	})
}

func TestDiskCacheFilesArePrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "onehop")
	file := newCacheFile(dir, Target{Service: "../../../etc/passwd", Tag: "x"}, Static{})
	if err := file.store(snapshotOf("a:1")); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Fatalf("%v, %v", entries, err)
	}
	info, err := entries[0].Info()
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("file %v, %v", info.Mode(), err)
	}
	if info, err = os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("dir %v, %v", info.Mode(), err)
	}
	other := newCacheFile(dir, Target{Service: "../../../etc/passwd", Tag: "y"}, Static{})
	if _, err := other.load(); !errors.Is(err, errNoCache) {
		t.Errorf("another target: %v", err)
	}
	other = newCacheFile(dir, Target{Service: "../../../etc/passwd", Tag: "x"}, make(scripted))
	if _, err := other.load(); !errors.Is(err, errNoCache) {
		t.Errorf("another source: %v", err)
	}
}

func TestDiskCacheDamageHurtsNothing(t *testing.T) {
	file := newCacheFile(t.TempDir(), Target{Service: "pay"}, make(scripted))
	good, err := file.encode(snapshotOf("a:1"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.decode(good); err != nil {
		t.Fatal(err)
	}
	flipped := slices.Clone(good)
	flipped[len(flipped)-5] ^= 1
	elsewhere, err := newCacheFile(file.dir, Target{Service: "other"}, make(scripted)).encode(snapshotOf("a:1"))
	if err != nil {
		t.Fatal(err)
	}
	noPort, err := file.encode(snapshotOf("a"))
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{
		"empty": nil, "cut": good[:len(good)/2], "flipped": flipped, "of another target": elsewhere, "impossible": noPort,
		"header only": []byte(cacheHeader), "binary": {0, 1, 2, '\n'},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dir := filepath.Join(t.TempDir(), "onehop")
				if err := os.Mkdir(dir, 0o700); err != nil {
					t.Fatal(err)
				}
				path := (&cacheFile{dir: dir, target: file.target, source: file.source}).path()
				if err := os.WriteFile(path, text, 0o600); err != nil {
					t.Fatal(err)
				}
				source := make(scripted)
				p, stop := watchCached(source, dir)
				source <- word{err: errAway}
				synctest.Wait()
				words := p.take()
				if len(words) != 2 || !strings.Contains(words[0], "damaged and not used") || words[1] != errAway.Error() {
					t.Errorf("published %q", words)
				}
				source <- word{snapshot: snapshotOf("b:1")}
				stop()
				p, stop = watchCached(source, dir)
				source <- word{err: errAway}
				wantWords(t, p, "disk:b:1", errAway.Error())
				stop()
			})
		})
	}
}

func TestDiskCacheThatCannotBeWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		blocker := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(blocker, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		open := filepath.Join(t.TempDir(), "open")
		if err := errors.Join(os.Mkdir(open, 0o700), os.Chmod(open, 0o777)); err != nil {
			t.Fatal(err)
		}
		for _, dir := range []string{filepath.Join(blocker, "onehop"), open} {
			source := make(scripted)
			p, stop := watchCached(source, dir)
			source <- word{snapshot: snapshotOf("a:1")}
			synctest.Wait()
			time.Sleep(time.Minute)
			source <- word{snapshot: snapshotOf("b:1")}
			time.Sleep(time.Minute)
			synctest.Wait()
			words := p.take()
			if len(words) != 3 || words[0] != "test:a:1" || !strings.HasPrefix(words[1], "disk cache: ") || words[2] != "test:b:1" {
				t.Errorf("%s: published %q", dir, words)
			}
			stop()
		}
	})
}

func TestDiskCacheOfFixedSetEnds(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "onehop")
	set := Static{"pay": {"a:1"}}
	p := &published{}
	DiskCache(set, dir).Watch(t.Context(), Target{Service: "pay"}, p.publish)
	if words := p.take(); !slices.Equal(words, []string{"static:a:1"}) {
		t.Errorf("published %q", words)
	}
	if s, err := newCacheFile(dir, Target{Service: "pay"}, set).load(); err != nil || len(s.Endpoints) != 1 {
		t.Errorf("cached %+v, %v", s, err)
	}
}

// The disk is held to the rule of addresses that the source is held to.
func TestDiskCacheKeepsTheRuleOfAddresses(t *testing.T) {
	for _, addr := range []string{"169.254.169.254:80", "0.0.0.0:80", "[fe80::1]:80"} {
		for _, r := range []Resolver{Consul{}, DNS{}} {
			file := newCacheFile(t.TempDir(), pay, r)
			if err := file.store(snapshotOf("192.0.2.1:80", addr)); err != nil {
				t.Fatal(err)
			}
			if s, err := file.load(); err == nil {
				t.Errorf("%T: %+v", r, s)
			}
		}
	}
	file := newCacheFile(t.TempDir(), pay, Consul{AllowLinkLocal: true})
	if err := file.store(snapshotOf("169.254.1.1:80")); err != nil {
		t.Fatal(err)
	}
	if _, err := file.load(); err != nil {
		t.Errorf("allowed, and refused: %v", err)
	}
}

// An old file put back is a whole one: what it says is served, and its age with it.
func TestDiskCacheTellsTheAgeOfWhatWasPutBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := make(scripted)
		file := newCacheFile(filepath.Join(t.TempDir(), "onehop"), pay, source)
		old := snapshotOf("a:1")
		old.At = time.Now().Add(-48 * time.Hour)
		if err := file.store(old); err != nil {
			t.Fatal(err)
		}
		p, stop := watchCached(source, file.dir)
		source <- word{err: errAway}
		wantWords(t, p, "disk:a:1", errAway.Error())
		if age := time.Since(p.last.At); age < 48*time.Hour {
			t.Errorf("its age is told as %v", age)
		}
		stop()
	})
}

package resolver

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

const (
	// cacheGrace is how long the cached snapshot waits for the first word of the source: shorter than a first call does.
	cacheGrace = time.Second
	// minSaveInterval and maxSaveAge bound how often a snapshot is written: changes that come faster are one, an
	// unchanged one is written again so that its age stays true.
	minSaveInterval = time.Second
	maxSaveAge      = 10 * time.Minute
)

// DiskCache is r, with the last good of each Target kept in dir and served until r first publishes: at r's first error,
// or when r has said nothing for a second. Its Origin is then "disk", its At as it was. What r publishes, errors
// included, is passed on.
//
// A file per target (0600, written beside and renamed, with a checksum) names its target and the source, so that the
// caches of two Consul clusters in one dir do not mix. A file that is damaged, of another target, or holds an address that r
// would refuse is as good as none; links and pipes are not followed.
// dir is made (0700) at the first write; one that others own or may write to is not used, since who writes there decides where
// calls go. A cache that cannot be read or written is told once by publish as an error and hurts nothing else.
func DiskCache(r Resolver, dir string) Resolver { return &diskCache{inner: r, dir: dir} }

type diskCache struct {
	inner Resolver
	dir   string
}

// word is what the inner resolver publishes.
type word struct {
	snapshot Snapshot
	err      error
}

// Watch implements [Resolver]. All publishing happens here, in the caller's goroutine.
func (c *diskCache) Watch(ctx context.Context, t Target, publish func(Snapshot, error)) {
	file := newCacheFile(c.dir, t, c.inner)
	ctx, cancel := context.WithCancel(ctx)
	words, saves, failed := make(chan word), make(chan Snapshot, 1), make(chan error, 1)
	var running sync.WaitGroup
	defer running.Wait()
	defer close(saves)
	defer cancel()
	running.Go(func() { saveAll(ctx, file, saves, failed) })
	running.Go(func() {
		defer close(words)
		c.inner.Watch(ctx, t, func(s Snapshot, err error) {
			select {
			case words <- word{s, err}:
			case <-ctx.Done():
			}
		})
	})

	serveCached := sync.OnceFunc(func() { file.serve(publish) })
	grace := time.NewTimer(cacheGrace)
	defer grace.Stop()
	for {
		select {
		case <-grace.C:
			serveCached()
		case err := <-failed:
			publish(Snapshot{}, err)
		case w, ok := <-words:
			switch {
			case !ok:
				return
			case w.err != nil:
				serveCached()
			default:
				serveCached = func() {}
				replace(saves, w.snapshot)
			}
			publish(w.snapshot, w.err)
		}
	}
}

// replace puts s into a channel of one place, instead of what waits there. For one sender.
func replace(saves chan Snapshot, s Snapshot) {
	select {
	case <-saves:
	default:
	}
	saves <- s
}

// saveAll writes what comes, what still waits at the end included, in a goroutine of its own: a slow disk holds up no
// publishing. Only the first failure is told.
func saveAll(ctx context.Context, file *cacheFile, saves <-chan Snapshot, failed chan<- error) {
	var last Snapshot
	for s := range saves {
		if s.At.IsZero() {
			s.At = time.Now()
		}
		if !worthSaving(last, s) {
			continue
		}
		if err := file.store(s); err != nil {
			select {
			case failed <- fmt.Errorf("disk cache: %w", err):
			default:
			}
			failed = nil // a nil channel takes nothing
		}
		last = s
		pause(ctx, minSaveInterval)
	}
}

// worthSaving reports whether s says something that last, written before, does not. An empty set is nothing to start
// with: the one before it is of more use.
func worthSaving(last, s Snapshot) bool {
	if len(s.Endpoints) == 0 {
		return false
	}
	return last.At.IsZero() || s.At.Sub(last.At) >= maxSaveAge || !slices.EqualFunc(last.Endpoints, s.Endpoints, Endpoint.Equal)
}

// serve publishes what the file holds. No file and an empty set are nothing to serve.
func (f *cacheFile) serve(publish func(Snapshot, error)) {
	s, err := f.load()
	switch {
	case errors.Is(err, errNoCache):
	case err != nil:
		publish(Snapshot{}, fmt.Errorf("disk cache: %w", err))
	case len(s.Endpoints) > 0:
		publish(s, nil)
	}
}

// pause waits d or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

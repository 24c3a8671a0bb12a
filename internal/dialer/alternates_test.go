package dialer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// scripted dials by a script, in virtual time: "ok 100ms" connects after 100 ms, "no 1s" fails after a second.
type scripted struct {
	script map[string]string
	mu     sync.Mutex
	log    []string // "at 250ms b": when which address was tried
	open   int      // connections nobody has closed
	ended  int      // dials that were given up
}

func (s *scripted) dial(ctx context.Context, start time.Time, addr string) (net.Conn, error) {
	s.mu.Lock()
	s.log = append(s.log, fmt.Sprintf("%s at %s", addr, time.Since(start)))
	s.mu.Unlock()
	var word, after string
	if _, err := fmt.Sscan(s.script[addr], &word, &after); err != nil {
		return nil, err
	}
	pause, err := time.ParseDuration(after)
	if err != nil {
		return nil, err
	}
	select {
	case <-time.After(pause):
	case <-ctx.Done():
		if word != "stubborn" { // one that notices too late
			s.mu.Lock()
			s.ended++
			s.mu.Unlock()
			return nil, ctx.Err()
		}
	}
	if word == "no" {
		return nil, errors.New(addr + " is dead")
	}
	s.mu.Lock()
	s.open++
	s.mu.Unlock()
	return &conn{s: s, addr: addr}, nil
}

type conn struct {
	net.Conn
	s    *scripted
	addr string
}

func (c *conn) Close() error {
	c.s.mu.Lock()
	c.s.open--
	c.s.mu.Unlock()
	return nil
}

// What gRFC A61 and RFC 8305 have of several addresses of one endpoint, as far as a dial goes.
func TestFirst(t *testing.T) {
	const ms = time.Millisecond
	type words = map[string]string
	for name, row := range map[string]struct {
		script map[string]string
		tried  string
		want   string // the address, or the error
		after  time.Duration
		ended  int
	}{
		"the first answers":              {words{"a": "ok 100ms", "b": "ok 0s"}, "a at 0s", "a", 100 * ms, 0},
		"the first refuses":              {words{"a": "no 10ms", "b": "ok 10ms"}, "a at 0s, b at 10ms", "b", 20 * ms, 0},
		"the first is silent":            {words{"a": "no 1h", "b": "ok 10ms"}, "a at 0s, b at 250ms", "b", 260 * ms, 1},
		"the first is slow":              {words{"a": "ok 300ms", "b": "no 1h"}, "a at 0s, b at 250ms", "a", 300 * ms, 1},
		"two are silent":                 {words{"a": "no 1h", "b": "no 1h", "c": "ok 1ms"}, "a at 0s, b at 250ms, c at 500ms", "c", 501 * ms, 2},
		"a failure does not wait":        {words{"a": "no 1h", "b": "no 1ms", "c": "ok 1ms"}, "a at 0s, b at 250ms, c at 251ms", "c", 252 * ms, 1},
		"all fail: the first one's word": {words{"a": "no 400ms", "b": "no 1ms"}, "a at 0s, b at 250ms", "a is dead", 400 * ms, 0},
		"a late one is hung up":          {words{"a": "stubborn 1h", "b": "ok 1ms"}, "a at 0s, b at 250ms", "b", 251 * ms, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, start := &scripted{script: row.script}, time.Now()
				dial := func(ctx context.Context, _, addr string) (net.Conn, error) { return s.dial(ctx, start, addr) }
				var alternates []string
				for _, a := range []string{"b", "c"} {
					if row.script[a] != "" {
						alternates = append(alternates, a)
					}
				}
				c, err := First(t.Context(), dial, "tcp", "a", alternates)
				took := time.Since(start)
				synctest.Wait()
				got := fmt.Sprint(err)
				if err == nil {
					got = c.(*conn).addr //nolint:forcetypeassert // the script's
					_ = c.Close()
				}
				if got != row.want || took != row.after || strings.Join(s.log, ", ") != row.tried || s.ended != row.ended || s.open != 0 {
					t.Errorf("%s after %s; tried %q, %d given up, %d left open; want %s after %s, %q, %d, 0",
						got, took, s.log, s.ended, s.open, row.want, row.after, row.tried, row.ended)
				}
			})
		})
	}
}

// The caller's end is the end of all.
func TestFirstEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, start := &scripted{script: map[string]string{"a": "ok 1h", "b": "ok 1h"}}, time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := First(ctx, func(ctx context.Context, _, addr string) (net.Conn, error) { return s.dial(ctx, start, addr) }, "tcp", "a", []string{"b"})
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("%v after %s", err, time.Since(start))
		}
	})
}

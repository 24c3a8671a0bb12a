package onehop

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// throttle keeps log storms away: a line with the same words at most every 10 s.
type throttle struct {
	mu   sync.Mutex
	last map[string]time.Time
}

const (
	quiet      = 10 * time.Second
	mostQuiets = 1000 // lines remembered; forgetting them costs a line, not memory
)

func (t *throttle) warn(l *slog.Logger, msg string, args ...any) {
	if t.first(msg+fmt.Sprint(args...), time.Now()) {
		l.WarnContext(context.Background(), msg, args...)
	}
}

// first says whether the line was not said in the last 10 s.
func (t *throttle) first(line string, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if at, ok := t.last[line]; ok && now.Sub(at) < quiet {
		return false
	}
	if t.last == nil || len(t.last) >= mostQuiets {
		t.last = map[string]time.Time{}
	}
	t.last[line] = now
	return true
}

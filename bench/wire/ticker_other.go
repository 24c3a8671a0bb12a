//go:build !linux

package wire

import "time"

// ticker counts moments at fixed distances, as exactly as the runtime's timers do.
type ticker struct {
	began    time.Time
	interval time.Duration
	due      int
}

func newTicker(interval time.Duration) (*ticker, error) {
	return &ticker{began: time.Now(), interval: interval}, nil
}

func (t *ticker) wait() (int, error) {
	time.Sleep(time.Until(t.began.Add(time.Duration(t.due+1) * t.interval)))
	t.due = max(t.due+1, int(time.Since(t.began)/t.interval))
	return t.due, nil
}

func (*ticker) stop() {}

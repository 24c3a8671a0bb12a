package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/term"
)

// display shows the show while it runs: a screen on a terminal, plain lines elsewhere.
type display struct {
	st     *stage
	out    *os.File
	screen bool
	colour bool // https://no-color.org
	told   int  // events already printed as lines
}

func newDisplay(out *os.File, st *stage) *display {
	terminal := term.IsTerminal(int(out.Fd())) && os.Getenv("TERM") != "dumb"
	return &display{st: st, out: out, screen: terminal && !st.lines, colour: os.Getenv("NO_COLOR") == ""}
}

// Refresh rates: a screen as often as an eye follows, lines as often as somebody reads a log.
const (
	screenEvery = 200 * time.Millisecond
	linesEvery  = 5 * time.Second
)

// Escape sequences of a screen of its own that leaves the terminal as it was (xterm's alternate buffer).
const (
	enterScreen = "\x1b[?1049h\x1b[?25l"
	leaveScreen = "\x1b[?25h\x1b[?1049l"
	home        = "\x1b[H"
	endOfLine   = "\x1b[K\r\n"
	clearBelow  = "\x1b[J"
)

// run shows until ctx ends.
func (d *display) run(ctx context.Context) {
	every := linesEvery
	if d.screen {
		every = screenEvery
		fmt.Fprint(d.out, enterScreen)
		defer fmt.Fprint(d.out, leaveScreen)
	}
	tick := time.NewTicker(screenEvery)
	defer tick.Stop()
	var next time.Time
	for {
		now := time.Now()
		d.photograph(now)
		switch {
		case d.screen:
			d.draw(now)
		default:
			d.events()
			if !now.Before(next) {
				next = now.Add(every)
				d.figures(now)
			}
		}
		select {
		case <-ctx.Done():
			if !d.screen {
				d.events()
			}
			return
		case <-tick.C:
		}
	}
}

// draw writes one frame over the last.
func (d *display) draw(now time.Time) {
	width, height, err := term.GetSize(int(d.out.Fd()))
	if err != nil { // not to be asked: assume the usual
		width, height = 80, 24
	}
	w := bufio.NewWriter(d.out)
	_, _ = io.WriteString(w, home) // a terminal that is gone ends the process anyway
	rows := d.st.frame(now)
	for _, r := range rows[:min(len(rows), height-1)] {
		_, _ = io.WriteString(w, r.cut(width).terminal(d.colour)+endOfLine)
	}
	_, _ = io.WriteString(w, clearBelow)
	_ = w.Flush()
}

// events prints what has happened since the last time, a line each.
func (d *display) events() {
	d.st.view.mu.Lock()
	defer d.st.view.mu.Unlock()
	v := d.st.view
	for _, h := range v.events[d.told:] {
		fmt.Fprintln(d.out, h.row(v.start).text())
	}
	d.told = len(v.events)
}

// figures prints a line per service.
func (d *display) figures(now time.Time) {
	start := d.st.view.began()
	for _, service := range []string{httpService, grpcService} {
		ours, plain := d.st.ours[service], d.st.plain[service]
		fmt.Fprintf(d.out, "  %s  %-10s  onehop: %s; plain: %s\n", clock(now.Sub(start)), service, ours.soFar(start, now), plain.soFar(start, now))
	}
}

// soFar is a lane in words.
func (l *lane) soFar(start, now time.Time) string {
	all, recent := l.between(start, now, ""), l.between(now.Add(-linesEvery), now, "")
	return fmt.Sprintf("%d calls, %d failed, p99 %s", all.calls, all.failed, short(recent.p99))
}

// pictureSecond is when a show of 90 seconds looks most like itself.
const pictureSecond = 37

// photograph writes the picture when it is time.
func (d *display) photograph(now time.Time) {
	at := act{second: pictureSecond}.at(d.st.length)
	if d.st.picture == "" || now.Before(d.st.view.began().Add(at)) {
		return
	}
	if err := os.WriteFile(d.st.picture, picture(d.st.frame(now)), 0o644); err != nil { //nolint:gosec // a picture for all to see
		d.st.view.eventf("no picture: %v", err)
	}
	d.st.picture = ""
}

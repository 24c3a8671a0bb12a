package consultest

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"
)

// progress shows a count of a known total: a bar on a terminal, a line every tenth of the way elsewhere.
type progress struct {
	w     io.Writer
	name  string
	total int
	start time.Time

	done     int
	terminal bool
	told     int // tenths already told on plain lines
}

func newProgress(w io.Writer, name string, total int) *progress {
	f, isFile := w.(*os.File)
	p := &progress{w: w, name: name, total: total, start: time.Now(), terminal: isFile && term.IsTerminal(int(f.Fd()))}
	p.draw(p.start)
	return p
}

// step counts one package and shows it.
func (p *progress) step() {
	p.done++
	p.draw(time.Now())
}

// draw shows the state at now. It may be called at any rate.
func (p *progress) draw(now time.Time) {
	if p.terminal {
		fmt.Fprintf(p.w, "\r\x1b[K%s", p.line(now))
		return
	}
	if tenth := p.share() / 10; tenth > p.told || p.done == 0 && now.Equal(p.start) {
		p.told = tenth
		fmt.Fprintln(p.w, p.line(now))
	}
}

// end shows the last state and how it ended.
func (p *progress) end(how string) {
	if p.terminal {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
	fmt.Fprintf(p.w, "%s: %s, %d packages compiled in %s\n", p.name, how, p.done, elapsed(time.Since(p.start)))
}

// share is the percentage done, at most 100.
func (p *progress) share() int {
	if p.total == 0 {
		return 100
	}
	return min(100, 100*p.done/p.total)
}

func (p *progress) line(now time.Time) string {
	const width = 30
	filled := width * p.share() / 100
	bar := strings.Repeat("█", filled) + strings.Repeat("░", width-filled)
	what := fmt.Sprintf("compiling %d of %d packages", p.done, p.total)
	if p.done >= p.total {
		what = fmt.Sprintf("%d packages compiled, linking", p.done)
	}
	return fmt.Sprintf("%s %s %3d %% %s, %s", p.name, bar, p.share(), what, elapsed(now.Sub(p.start)))
}

func elapsed(d time.Duration) string { return d.Round(time.Second).String() }

// terminalOr returns the controlling terminal for the progress of a long build, and what closes it. go test keeps what
// a package prints until it has ended, so that minutes of building would look like a hang. Without one it is w.
func terminalOr(w io.Writer) (io.Writer, func()) {
	tty, err := os.OpenFile("/dev/tty", os.O_WRONLY, 0)
	if err != nil {
		return w, func() {}
	}
	return tty, func() { _ = tty.Close() }
}

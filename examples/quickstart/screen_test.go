package main

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

func TestRowsAreCutAndStyled(t *testing.T) {
	r := row{}.add(bold, "%-4s", "ab").add(red, "█▌cd")
	if got := r.cut(6).text(); got != "ab  █▌" {
		t.Errorf("cut to %q", got)
	}
	if got, want := r.cut(5).terminal(true), "\x1b[1mab  \x1b[0m\x1b[31m█\x1b[0m"; got != want {
		t.Errorf("on a terminal %q, want %q", got, want)
	}
	if got := r.terminal(false); got != "ab  █▌cd" {
		t.Errorf("without colour %q", got)
	}
}

// The name of an instance, or the text of an error, must not write to the terminal.
func TestRowsHoldNoControlSequences(t *testing.T) {
	r := row{}.add(normal, "%s|%s", "\x1b[2J\a", "a\r\nb\u202e")
	if got, want := r.terminal(false), "\ufffd[2J\ufffd|a\ufffd\ufffdb\ufffd"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestBarsAreDrawnToTheEighth(t *testing.T) {
	for _, row := range []struct {
		n    float64
		want string
	}{{0, ""}, {1, "▏"}, {8, "█"}, {12, "█▌"}, {16, "██"}, {99, "██"}} {
		if got := bar(row.n, 16, 2); got != row.want {
			t.Errorf("%v of 16 is %q, want %q", row.n, got, row.want)
		}
	}
}

// screenOf is a stage with some traffic, as the display sees it.
func screenOf(now time.Time) *stage {
	st := &stage{settings: settings{length: 90 * time.Second}, view: newView(), ours: map[string]*lane{}, plain: map[string]*lane{}}
	for _, service := range []string{grpcService, httpService} {
		st.ours[service], st.plain[service] = &lane{}, &lane{}
		st.view.instance(service+"-1", service, service+":1")
	}
	st.view.consul("127.0.0.1:8500", true)
	st.view.begin(now.Add(-10 * time.Second))
	for i := range 40 {
		at := now.Add(-time.Duration(40-i) * 10 * time.Millisecond)
		st.ours[httpService].add(sample{at: at, took: 5 * time.Millisecond, instance: "payments-1"})
		st.plain[httpService].add(sample{at: at, took: 2 * time.Second, failed: true})
	}
	return st
}

func TestFrameShowsWhoIsCalledAndHowFast(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	st := screenOf(now)
	st.view.act("an <instance> is killed", now.Add(-time.Second))
	st.view.state("inventory-1", "killed")
	var text strings.Builder
	for _, r := range st.frame(now) {
		if n := len([]rune(r.text())); n > 90 {
			t.Errorf("%d columns: %q", n, r.text())
		}
		text.WriteString(strings.TrimRight(r.text(), " ") + "\n")
	}
	for _, want := range []string{
		"onehop quickstart   0:10 of 1:30",
		"● Consul http://127.0.0.1:8500",
		"  payments-1  ok      ████▊         20/s   5 ms",
		"  inventory-1 killed",
		"20/s   5 ms 0 failed              20/s  2.0 s 40 failed",
		"  0:09  an <instance> is killed",
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q on the screen:\n%s", want, text.String())
		}
	}
}

func TestPictureIsXML(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	st := screenOf(now)
	st.view.act("an <instance> is killed & gone", now)
	d := xml.NewDecoder(strings.NewReader(string(picture(st.frame(now)))))
	for {
		_, err := d.Token()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// The script runs forwards, and leaves its last act time to show.
func TestScriptIsInOrder(t *testing.T) {
	for i, a := range script {
		if i > 0 && a.second <= script[i-1].second || a.second > 85 {
			t.Errorf("act %q at %d s", a.title, a.second)
		}
		if n := len([]rune(a.title)); n > 49 {
			t.Errorf("act %q does not fit the summary: %d characters", a.title, n)
		}
	}
}

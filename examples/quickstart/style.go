package main

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// style is how a piece of text looks.
type style string

const (
	normal style = ""
	bold   style = "bold"
	dim    style = "dim"
	green  style = "green"
	red    style = "red"
	yellow style = "yellow"
	cyan   style = "cyan"
)

// ansi are the escape sequences of styles on a terminal (ECMA-48, SGR).
var ansi = map[style]string{bold: "1", dim: "2", green: "32", red: "31", yellow: "33", cyan: "36"}

// span is a piece of text in one style; row is a line of the screen.
type (
	span struct {
		text  string
		style style
	}
	row []span
)

// add appends formatted text. What does not print is replaced: names and errors come from elsewhere, and write to a terminal.
func (r row) add(s style, format string, args ...any) row {
	return append(r, span{text: strings.Map(printable, fmt.Sprintf(format, args...)), style: s})
}

func printable(r rune) rune {
	if unicode.IsPrint(r) {
		return r
	}
	return unicode.ReplacementChar
}

// text is the row without styles.
func (r row) text() string {
	var b strings.Builder
	for _, s := range r {
		b.WriteString(s.text)
	}
	return b.String()
}

// cut is the row's first width characters.
func (r row) cut(width int) row {
	var out row
	for _, s := range r {
		n := utf8.RuneCountInString(s.text)
		if n > width {
			s.text = string([]rune(s.text)[:width])
			n = width
		}
		out = append(out, s)
		width -= n
	}
	return out
}

// terminal is the row with escape sequences.
func (r row) terminal(colour bool) string {
	if !colour {
		return r.text()
	}
	var b strings.Builder
	for _, s := range r {
		if code := ansi[s.style]; code != "" {
			fmt.Fprintf(&b, "\x1b[%sm%s\x1b[0m", code, s.text)
		} else {
			b.WriteString(s.text)
		}
	}
	return b.String()
}

// bar draws n of most in width characters, to an eighth of one.
func bar(n, most float64, width int) string {
	if most <= 0 {
		return ""
	}
	eighths := int(n / most * float64(width) * 8)
	eighths = min(eighths, width*8)
	full := strings.Repeat("█", eighths/8)
	if rest := eighths % 8; rest > 0 {
		full += string([]rune("▏▎▍▌▋▊▉")[rest-1])
	}
	return full
}

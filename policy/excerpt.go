package policy

import (
	"regexp"
	"strings"
	"unicode"
)

// excerptWidth is how much of a line a Problem shows: a document in one line must not come back whole in each error.
const excerptWidth = 76

// lineBreak is a line's end as YAML 1.1 counts lines, so that our lines are those of the parser's positions.
var lineBreak = regexp.MustCompile("\r\n|[\n\r\u0085\u2028\u2029]")

// lines is a document by lines.
type lines []string

func splitLines(document []byte) lines { return lineBreak.Split(string(document), -1) }

// line returns line n, counted from 1; "" when there is none.
func (l lines) line(n int) string {
	if n < 1 || n > len(l) {
		return ""
	}
	return l[n-1]
}

// excerpt returns line n with a caret under its column, both counted from 1. Of a long line it shows the part around the
// column. "" when there is no such line.
// What does not print is replaced, so that no document can send control sequences to a terminal.
func (l lines) excerpt(n, column int) string {
	if n < 1 || n > len(l) {
		return ""
	}
	text := []rune(strings.TrimRightFunc(l.line(n), unicode.IsSpace))
	at := min(max(column-1, 0), len(text))
	from := max(0, min(at-excerptWidth/2, len(text)-excerptWidth))
	to := min(len(text), from+excerptWidth)
	shown := printable(text[from:to])
	if from > 0 {
		shown[0] = '…'
	}
	if to < len(text) {
		shown[len(shown)-1] = '…'
	}
	return string(shown) + "\n" + strings.Repeat(" ", at-from) + "^"
}

// printable returns text with a blank for each tab, for the caret's sake, and a mark for what does not print.
func printable(text []rune) []rune {
	out := make([]rune, len(text))
	for i, r := range text {
		switch {
		case r == '\t':
			out[i] = ' '
		case unicode.IsPrint(r):
			out[i] = r
		default:
			out[i] = unicode.ReplacementChar
		}
	}
	return out
}

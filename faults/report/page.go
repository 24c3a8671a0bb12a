package main

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// most figures of a test that are shown: those of a loop repeat themselves.
const most = 6

// page is the whole of docs/faults.md.
func (s *suite) page(now time.Time) []byte {
	all := slices.SortedFunc(maps.Values(s.tests), func(x, y *result) int {
		return cmp.Or(cmp.Compare(x.row, y.row), cmp.Compare(x.name, y.name))
	})
	var b bytes.Buffer
	fmt.Fprintf(&b, "# Faults\nWritten by `make faults` on %s. F0: no idempotent call fails while a healthy endpoint, budget and deadline remain.\n"+
		"Every attempt is counted by the servers' own ledgers. A row may have several tests; those in faults/heavy have their faults from toxiproxy.\n"+
		"The long forms of rows run by `make faults` alone; without it `go test ./faults/` runs the short ones, which the last section lists.\n"+
		"Hours are virtual time. Where a figure is of real time it is that of the machine as it was loaded.\n\n"+
		"| row | fault | measure | figures | verdict |\n|---|---|---|---|---|\n", now.UTC().Format(time.DateOnly))
	var missing []string
	for _, t := range all {
		missing = append(missing, t.missing...)
		if t.row != 0 {
			fmt.Fprintf(&b, "| %d | %s | %s | %s | %s |\n", t.row, cell(t.fault), cell(t.measure), t.shown(), t.verdict)
		}
	}
	fmt.Fprint(&b, "\n## Beside the rows\n| test | figures | verdict |\n|---|---|---|\n")
	for _, t := range all {
		if t.row == 0 {
			fmt.Fprintf(&b, "| %s | %s | %s |\n", t.name, t.shown(), t.verdict)
		}
	}
	if len(missing) > 0 {
		fmt.Fprintf(&b, "\n## Missing\n- %s\n", strings.Join(missing, "\n- "))
	}
	b.WriteString(short)
	return b.Bytes()
}

// short is what the short forms leave out.
const short = `
## Short forms
| row | short, in ` + "`go test ./faults/`" + ` | long, in ` + "`make faults`" + ` |
|---|---|---|
| 9 | 5 s of traffic, survivors' load at most 2 x (5 if the lost were not held) | 28 s, at most 1.25 x; virtual time has the exact figure in both |
| 44 | 128 MiB each way | 1 GiB each way |
| 46 | 20 rounds | 500 rounds |
| 52 | 300 clients | 1,000 clients |
| 65 | 100 POSTs | 1,000 POSTs |
| 67 | 10 clients | 100 clients |
| soak | not run | by hand, by time or by a number of calls (ONEHOP_SOAK); 2 minutes in continuous integration |

The other rows have one form. Row 59 waits its 20 s in both. Row 71's second is judged in virtual time; with real clocks 2 s are allowed for a loaded machine.
`

// shown is the figures of a test in their cell.
func (t *result) shown() string {
	figures := t.figures
	if len(figures) > most {
		figures = append(slices.Clone(figures[:most]), fmt.Sprintf("and %d more", len(t.figures)-most))
	}
	return cell(strings.Join(figures, "; "))
}

// cell keeps a text within its cell.
func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }

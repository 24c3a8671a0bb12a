package peers

import (
	"context"
	"errors"
	"fmt"

	"github.com/onehop-go/onehop/bench/report"
)

// goroutines that call one service at once.
var goroutines = []int{1, 10, 100, 1000, 10_000}

// crowd measures the microseconds of CPU of an HTTP call on the stub by how many goroutines call at once: bare, under a
// deadline, and through onehop. Each turn makes calls calls, at least one a goroutine.
func crowd(ctx context.Context, goroutines []int, rounds, calls int) (lines []report.Line, err error) {
	g, err := build([]func() (Candidate, error){bareClient, deadlineClient, func() (Candidate, error) { return ours(hopDefault, nil) }})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, g.close()) }()
	for _, c := range g {
		lines = append(lines, report.Line{Name: c.Name, Ours: c.Ours})
	}
	for _, n := range goroutines {
		m := measured{group: g, rounds: make([][]cost, len(g))}
		for r := range rounds {
			if err := m.round(ctx, r, n, plan{turns: 1, calls: max(calls, n)}); err != nil {
				return nil, fmt.Errorf("%d goroutines: %w", n, err)
			}
		}
		for i, c := range g {
			lines[i].Points = append(lines[i].Points, report.Point{X: float64(n), Y: scaled(m.of(c.Name, cpuTime), 1e-3).Median})
		}
	}
	return lines, nil
}

// crowdTable has a row for each client, and the exponent of the power law that fits it.
func crowdTable(lines []report.Line) report.Table {
	t := report.Table{
		Title: "CPU us of a call by the number of goroutines that call at once", Columns: []string{"client"},
		Text: "The exponent k is that of the power law goroutines^k which fits best: 0 does not grow.",
	}
	for _, p := range lines[0].Points {
		t.Columns = append(t.Columns, report.Number(p.X).String())
	}
	t.Columns = append(t.Columns, "exponent")
	for _, l := range lines {
		row := []report.Cell{report.Word(l.Name)}
		for _, p := range l.Points {
			row = append(row, report.Number(p.Y))
		}
		t.Rows = append(t.Rows, append(row, report.Number(report.Exponent(l.Points))))
	}
	return t
}

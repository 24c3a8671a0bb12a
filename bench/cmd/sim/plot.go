package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"

	"github.com/onehop-go/onehop/bench/sim"
)

// picture is a plot of one scenario: a line for each rival, a value for each second.
type picture struct {
	file, scenario, title, axis string
	value                       func(sim.Span) float64
	percentiles                 bool // in place of seconds
	log                         bool // the values by powers of ten
}

func okShare(s sim.Span) float64   { return 100 * s.Share() }
func firstLoad(s sim.Span) float64 { return 100 * s.Load(0) }
func p99(s sim.Span) float64       { return millis(s.P99) }

var pictures = []picture{
	{
		file: "one-slow", scenario: "1 of 10 slow", title: "1 of 10 slow (100 ms more on 30 % of its requests)",
		axis: "time of a call, ms", percentiles: true,
	},
	{file: "ramp", scenario: "1 of 10 ever slower", title: "1 of 10 grows slower, from 20 to 500 ms in 30 s", axis: "p99, ms", value: p99},
	{file: "slow-host", scenario: "a neighbour", title: "one host of ten loses 70 % of its speed; requests share the cores", axis: "p99, ms", value: p99, log: true},
	{file: "fails-fast", scenario: "1 of 10 fails fast by 500", title: "1 of 10 fails fast by 500", axis: "% of the traffic at it", value: firstLoad},
	{file: "killed", scenario: "8 of 10 killed", title: "8 of 10 killed at second 0, 200 clients", axis: "% ok", value: okShare},
	{file: "overload", scenario: "overload, trigger", title: "capacity falls to 40 % for 10 s at nine tenths of the load; a queue", axis: "% ok", value: okShare},
	{file: "overload-sharing", scenario: "overload of servers", title: "the same; requests share the workers", axis: "% ok", value: okShare},
	{file: "deploy", scenario: "rolling deploy", title: "ten servers replaced, killed before they leave the list", axis: "% ok", value: okShare},
	{file: "cold", scenario: "a cold server", title: "a server joins ten busy ones, ten times as slow for 5 s", axis: "p99, ms", value: p99},
}

// drawn is the Markdown that shows a picture.
func drawn(title, file string) string { return fmt.Sprintf("\n![%s](img/%s.png)\n", title, file) }

// drawPictures writes the pictures of the scenarios, as PNG and SVG, and returns the Markdown that shows them.
func drawPictures(dir string, all []outcome) (string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // documents
		return "", err
	}
	var b strings.Builder
	for _, pic := range pictures {
		for i := range all {
			if !strings.HasPrefix(all[i].scenario.Name, pic.scenario) {
				continue
			}
			if err := pic.draw(dir, &all[i]); err != nil {
				return "", err
			}
			b.WriteString(drawn(pic.title, pic.file))
		}
	}
	return b.String(), nil
}

func (pic *picture) draw(dir string, o *outcome) error {
	p := newPlot(pic.axis, "seconds")
	if pic.percentiles {
		p.X.Label.Text = "percentile of the calls"
		p.X.Tick.Marker = plot.ConstantTicks(percentileTicks())
	}
	names, lines := make([]string, len(o.reports)), make([]*plotter.Line, len(o.reports))
	for i, r := range o.reports {
		var err error
		if lines[i], err = line(i, pic.points(r)); err != nil {
			return err
		}
		names[i] = rivals[i].name
	}
	addLines(p, lines)
	if pic.log {
		p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, powers{}
	} else {
		alike([]*plot.Plot{p})
	}
	return save(filepath.Join(dir, pic.file), pic.title, names, lines, [][]*plot.Plot{{p}})
}

// shares are the percentiles on the axis, at equal distances.
var shares = []float64{0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999}

func percentileTicks() []plot.Tick {
	var ticks []plot.Tick
	for i, p := range shares {
		ticks = append(ticks, plot.Tick{Value: float64(i), Label: fmt.Sprintf("%.4g", 100*p)})
	}
	return ticks
}

func (pic *picture) points(r *sim.Report) plotter.XYs {
	var xy plotter.XYs
	if pic.percentiles {
		for i, p := range shares {
			xy = append(xy, plotter.XY{X: float64(i), Y: millis(r.Percentile(p))})
		}
		return xy
	}
	for at := time.Duration(0); at < r.Scenario.Duration; at += time.Second {
		xy = append(xy, plotter.XY{X: at.Seconds(), Y: pic.value(r.Span(at, at+time.Second))})
	}
	return xy
}

// draw writes the sweep's picture, its panels side by side.
func (s *sweep) draw(dir string) error {
	row := make([]*plot.Plot, len(s.panels))
	var lines []*plotter.Line // of the last panel: they look alike in all
	for i := range s.panels {
		row[i] = newPlot("", s.panels[i].what)
		if i == 0 {
			row[i].Y.Label.Text = s.axis
		}
		var err error
		if lines, err = s.panels[i].addTo(row[i]); err != nil {
			return err
		}
	}
	alike(row)
	names := make([]string, len(s.algorithms))
	for i, r := range s.algorithms {
		names[i] = r.name
	}
	return save(filepath.Join(dir, s.file), s.title, names, lines, [][]*plot.Plot{row})
}

func (p *panel) addTo(to *plot.Plot) ([]*plotter.Line, error) {
	if !p.linear {
		to.X.Scale, to.X.Tick.Marker = plot.LogScale{}, powers{}
	}
	lines := make([]*plotter.Line, len(p.values))
	for i, values := range p.values {
		xy := make(plotter.XYs, len(values))
		for j, v := range values {
			xy[j] = plotter.XY{X: p.points[j], Y: v}
		}
		var err error
		if lines[i], err = line(i, xy); err != nil {
			return nil, err
		}
	}
	addLines(to, lines)
	return lines, nil
}

// alike gives the panels of a row one range of values, from nought on where the least is not near the most.
func alike(row []*plot.Plot) {
	low, high := row[0].Y.Min, row[0].Y.Max
	for _, p := range row {
		low, high = min(low, p.Y.Min), max(high, p.Y.Max)
	}
	if low < high/2 {
		low = 0
	}
	for _, p := range row {
		p.Y.Min, p.Y.Max = low, high
	}
}

// powers labels the powers of ten.
type powers struct{}

func (powers) Ticks(low, high float64) []plot.Tick {
	ticks := plot.LogTicks{}.Ticks(low, high)
	for i := range ticks {
		if ticks[i].Label != "" {
			ticks[i].Label = fmt.Sprintf("%.0f", ticks[i].Value)
		}
	}
	return ticks
}

func addLines(p *plot.Plot, lines []*plotter.Line) {
	for _, l := range slices.Backward(lines) { // the first on top
		p.Add(l)
	}
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

package main

import (
	"fmt"
	"image/color"
	"os"
	"path/filepath"
	"strings"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"

	"github.com/onehop-go/onehop/bench/sim"
)

// picture is a plot of one scenario: a line for each rival, a value for each second.
type picture struct {
	file, scenario, title, axis string
	value                       func(sim.Span) float64
	percentiles                 bool // in place of seconds
}

func okShare(s sim.Span) float64   { return 100 * s.Share() }
func firstLoad(s sim.Span) float64 { return 100 * s.Load(0) }

var pictures = []picture{
	{
		file: "one-slow", scenario: "1 of 10 slow", title: "1 of 10 slow (+100 ms on 30 % of its requests)", axis: "ms",
		percentiles: true,
	},
	{file: "fails-fast", scenario: "1 of 10 fails fast by 500", title: "1 of 10 fails fast by 500 from second 0", axis: "% of the traffic", value: firstLoad},
	{file: "killed", scenario: "8 of 10 killed", title: "8 of 10 killed at second 0, 200 clients", axis: "% ok", value: okShare},
	{file: "overload", scenario: "overload", title: "capacity falls to 40 % for 10 s at load 0.9", axis: "% ok", value: okShare},
	{file: "deploy", scenario: "rolling deploy", title: "ten servers replaced, killed before they leave the list", axis: "% ok", value: okShare},
}

// draw writes the pictures whose scenario was run, as PNG and SVG, and returns the Markdown that shows them.
func draw(dir string, all []outcome) (string, error) {
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
			fmt.Fprintf(&b, "\n![%s](img/%s.png)\n", pic.title, pic.file)
		}
	}
	return b.String(), nil
}

func (pic *picture) draw(dir string, o *outcome) error {
	p := plot.New()
	p.Title.Text, p.Y.Label.Text, p.X.Label.Text = pic.title, pic.axis, "s"
	p.Legend.Top = true
	p.Add(plotter.NewGrid())
	p.X.Tick.Marker, p.Y.Tick.Marker = whole{}, whole{}
	if pic.percentiles {
		p.X.Label.Text = "percentile"
		p.X.Tick.Marker = plot.ConstantTicks(percentileTicks())
		p.Legend.Left = true
	}
	for i, r := range o.reports {
		line, err := plotter.NewLine(pic.points(r))
		if err != nil {
			return err
		}
		line.Color, line.Width = colors[i], vg.Points(1.2)
		if i == 0 {
			line.Width = vg.Points(2.5)
		}
		p.Add(line)
		p.Legend.Add(rivals[i].name, line)
	}
	for _, kind := range []string{"png", "svg"} {
		if err := p.Save(18*vg.Centimeter, 10*vg.Centimeter, filepath.Join(dir, pic.file+"."+kind)); err != nil {
			return err
		}
	}
	return nil
}

// whole labels the usual ticks by whole numbers.
type whole struct{}

func (whole) Ticks(low, high float64) []plot.Tick {
	ticks := plot.DefaultTicks{}.Ticks(low, high)
	for i := range ticks {
		if ticks[i].Label != "" {
			ticks[i].Label = fmt.Sprintf("%.4g", ticks[i].Value)
		}
	}
	return ticks
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
			xy = append(xy, plotter.XY{X: float64(i), Y: float64(r.Percentile(p)) / float64(time.Millisecond)})
		}
		return xy
	}
	for at := time.Duration(0); at < r.Scenario.Duration; at += time.Second {
		xy = append(xy, plotter.XY{X: at.Seconds(), Y: pic.value(r.Span(at, at+time.Second))})
	}
	return xy
}

// colors of the rivals, to be told apart by the colour-blind as well (Okabe and Ito).
var colors = []color.Color{
	color.RGBA{0x00, 0x72, 0xb2, 0xff}, color.RGBA{0x56, 0xb4, 0xe9, 0xff}, color.RGBA{0xe6, 0x9f, 0x00, 0xff},
	color.RGBA{0x99, 0x99, 0x99, 0xff}, color.RGBA{0xcc, 0x79, 0xa7, 0xff}, color.RGBA{0x00, 0x9e, 0x73, 0xff},
	color.RGBA{0xd5, 0x5e, 0x00, 0xff},
}

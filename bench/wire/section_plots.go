package wire

import (
	"fmt"
	"strings"

	"github.com/onehop-go/onehop/bench/report"
)

// shown are the percentiles on the axis of a plot, at equal distances: the rare ones are what it is for.
var shown = []float64{0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999}

// plots are the throughput with 16 callers, and the latencies of the open loops.
func (r *comparison) plots(protocol string) []report.Plot {
	file := "wire-" + strings.ToLower(protocol)
	at := r.closed()[1].name
	all := []report.Plot{{
		File: file + "-throughput", Title: fmt.Sprintf("%s: calls a second, closed loop, %s", protocol, at), XLabel: "calls/s",
		Bars: r.bars(at, throughput),
	}}
	for _, g := range r.open() {
		all = append(all, report.Plot{
			File:  fmt.Sprintf("%s-latency-%d", file, g.Rate),
			Title: fmt.Sprintf("%s: latency from the moment a call is due, open loop, %s", protocol, g.name), XLabel: "percentile", YLabel: "us",
			LogY: true, XTicks: percentileTicks(), Lines: r.lines(g.name),
		})
	}
	return all
}

func (r *comparison) bars(regime string, m metric) []report.Bar {
	var all []report.Bar
	for i := range r.kinds {
		k := &r.kinds[i]
		all = append(all, report.Bar{Name: k.name, Ours: k.ours(), Figure: r.figure(k.name, regime, m)})
	}
	return all
}

func (r *comparison) lines(regime string) []report.Line {
	var all []report.Line
	for i := range r.kinds {
		k := &r.kinds[i]
		l := report.Line{Name: k.name, Ours: k.name == throughHop}
		for x, q := range shown {
			l.Points = append(l.Points, report.Point{X: float64(x), Y: r.figure(k.name, regime, latency(q)).Median})
		}
		all = append(all, l)
	}
	return all
}

// ours says whether onehop makes the calls.
func (k *pathKind) ours() bool { return k.by == byOnehop || k.by == byHopGRPC }

func percentileTicks() []report.Tick {
	ticks := make([]report.Tick, len(shown))
	for x, q := range shown {
		ticks[x] = report.Tick{Value: float64(x), Label: fmt.Sprintf("%.4g", 100*q)}
	}
	return ticks
}

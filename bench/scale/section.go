package scale

import (
	"context"

	"github.com/onehop-go/onehop/bench/report"
)

// sizes are what is measured, each in ascending order.
type sizes struct {
	endpoints, upstreams []int
	rounds, turns        int
}

var (
	full = sizes{
		endpoints: []int{10, 100, 1000, 10_000, 100_000}, upstreams: []int{1, 10, 100, 1000, 2000}, rounds: 9, turns: 200,
	}
	short = sizes{endpoints: []int{10, 100}, upstreams: []int{1, 10}, rounds: 1, turns: 1}
)

// Scale measures how the costs grow.
func Scale(ctx context.Context, o report.Options) (report.Section, error) {
	z := full
	if o.Short {
		z = short
	}
	if o.Rounds > 0 {
		z.rounds = o.Rounds
	}
	e, err := measureEndpoints(ctx, o, z.endpoints, z.rounds, z.turns)
	if err != nil {
		return report.Section{}, err
	}
	u, err := measureUpstreams(ctx, o, z.upstreams, z.rounds)
	if err != nil {
		return report.Section{}, err
	}
	s := report.Section{
		Order: 40, Name: "scale", Title: "How the costs grow",
		Command: "cd bench && go run ./cmd/report -docs ../docs -only scale", Text: text,
		Tables: append(e.tables(z.endpoints), u.table(z.upstreams), growth(e, u)),
		Plots:  plots(e, u),
	}
	if !o.Short {
		s.Gates = e.gates()
	}
	return s, nil
}

const text = `A pick chooses an endpoint and ends with its call's end, as the attempt loop does it, among endpoints that have all answered; beside it
grpc-go's least_request picker over as many endpoints, above 1,000 over 1,000. An update takes over a whole snapshot in which one endpoint has
changed. Of the turns of a round the fastest counts, of the rounds the median. Memory is what the engine keeps of an endpoint that nobody has called,
discovery's own data aside. A start is a new client and a first call to each upstream of three endpoints, one after the
other, with discovery and policies at hand.

The *exponent* k is that of the power law size^k which fits the curve best: 0 does not grow at all, 1 grows in proportion.`

func (c *endpointCurves) gates() []report.Gate {
	pick := func(n int, what string, aim float64) report.Gate {
		over := ""
		if n > theirMost {
			over = " among 1,000"
		}
		return report.Gate{
			What: "a pick among " + what + " endpoints, by grpc-go's least_request" + over, Bound: report.AtMost, Aim: aim, Unit: "x", Measured: c.units[n],
		}
	}
	return []report.Gate{
		pick(10, "10", 0.6), pick(1000, "1,000", 0.6), pick(100_000, "100,000", 1.5),
		{What: "memory of an endpoint never picked", Bound: report.AtMost, Aim: 512, Unit: "B", Measured: report.Exactly(c.memory.at(10_000))},
		{What: "one change in 10,000 endpoints", Bound: report.AtMost, Aim: 2, Unit: "ms", Measured: c.updates[10_000]},
	}
}

func (c *endpointCurves) tables(sizes []int) []report.Table {
	t := report.Table{Title: "By endpoints", Columns: []string{"endpoints", "pick ns", "least_request ns", "ratio", "update ms", "B an endpoint"}}
	for _, n := range sizes {
		theirs := report.Cell{}
		if n <= theirMost {
			theirs = report.Number(c.theirs.at(n))
		}
		t.Rows = append(t.Rows, []report.Cell{
			report.Number(float64(n)), report.Number(c.pick.at(n)), theirs, report.Measured(c.units[n]),
			report.Measured(c.updates[n]), report.Number(c.memory.at(n)),
		})
	}
	return []report.Table{t}
}

func (c *upstreamCurves) table(sizes []int) report.Table {
	t := report.Table{Title: "By upstreams", Columns: []string{"upstreams", "start ms", "KiB an upstream", "goroutines an upstream"}}
	for _, n := range sizes {
		t.Rows = append(t.Rows, []report.Cell{
			report.Number(float64(n)), report.Number(c.start.at(n)), report.Number(c.memory.at(n)), report.Number(c.goroutines.at(n)),
		})
	}
	return t
}

// growth is the table of exponents.
func growth(e *endpointCurves, u *upstreamCurves) report.Table {
	t := report.Table{Title: "Growth", Columns: []string{"cost", "of the smallest", "of the largest", "exponent"}}
	add := func(name string, points []report.Point) {
		t.Rows = append(t.Rows, []report.Cell{
			report.Word(name), report.Number(points[0].Y), report.Number(points[len(points)-1].Y), report.Number(report.Exponent(points)),
		})
	}
	add("pick, ns, by endpoints", e.pick.points)
	add("least_request's pick, ns, by endpoints", e.theirs.points)
	add("update, ms, by endpoints", e.update.points)
	add("memory of an endpoint, B, by endpoints", e.memory.points)
	add("start, ms, by upstreams", u.start.points)
	add("memory of an upstream, KiB, by upstreams", u.memory.points)
	return t
}

func plots(e *endpointCurves, u *upstreamCurves) []report.Plot {
	return []report.Plot{
		{
			File: "scale-pick", Title: "A pick", XLabel: "endpoints", YLabel: "ns", LogX: true, LogY: true,
			Lines: []report.Line{e.pick.line(), e.theirs.line()},
		},
		{
			File: "scale-update", Title: "One change in a snapshot", XLabel: "endpoints", YLabel: "ms", LogX: true, LogY: true,
			Lines: []report.Line{e.update.line()},
		},
		{
			File: "scale-start", Title: "Start: a first call to each upstream", XLabel: "upstreams", YLabel: "ms", LogX: true, LogY: true,
			Lines: []report.Line{u.start.line()},
		},
	}
}

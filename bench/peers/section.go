package peers

import (
	"context"
	"errors"

	"github.com/onehop-go/onehop/bench/report"
)

// Call measures an HTTP call on the stub.
func Call(ctx context.Context, o report.Options) (s report.Section, err error) {
	g, err := overHTTP()
	if err != nil {
		return report.Section{}, err
	}
	defer func() { err = errors.Join(err, g.close()) }()
	o.Log("call: %d clients on a stub, at GOMAXPROCS 1 and 2", len(g))
	all, err := compare(ctx, g, []int{1, 2}, size(o, plan{rounds: 15, turns: 5, calls: 4000}))
	if err != nil {
		return report.Section{}, err
	}
	o.Log("call: up to 10,000 goroutines")
	z := size(o, plan{rounds: 9, calls: 50_000})
	lines, err := crowd(ctx, goroutines, z.rounds, z.calls)
	if err != nil {
		return report.Section{}, err
	}
	one, two := all[0], all[1]
	return report.Section{
		Order: 10, Name: "call", Title: "One HTTP call, without a network",
		Command: "cd bench && go run ./cmd/report -docs ../docs -only call",
		Text:    httpText,
		Missing: map[string]string{"httplb": "It cannot be required as a module; the aims that name it are its figures as once measured, in units of a deadline."},
		Gates:   httpGates(one, two),
		Tables:  []report.Table{costs(one, two, bareDeadline), crowdTable(lines)},
		Plots: []report.Plot{
			bars(one, "call-cpu", "CPU of one HTTP call on a stub, GOMAXPROCS 1", "us", cpuTime, 1e-3),
			bars(one, "call-allocations", "Allocations of one HTTP call on a stub", "allocations", allocations, 1),
			{
				File: "call-goroutines", Title: "CPU of an HTTP call by how many goroutines call at once", XLabel: "goroutines", YLabel: "us",
				LogX: true, Lines: lines,
			},
		},
	}, nil
}

const httpText = `A GET on a stub in place of each transport, its body read and closed: what remains is the client's own work. CPU is the
process's (getrusage), garbage collection included; *added* is CPU above the bare client's, in units of what
` + "`context.WithTimeout`" + ` adds to it in the same round. At GOMAXPROCS 2 two goroutines call at once; *contention* is how
the time of a call changes from 1 to 2, divided by how the bare client's changes: above 1 something is shared.

onehop picks among three instances. Retries, breakers and timeouts are set up so that none ever acts. kratos and go-zero
do not retry over HTTP, and the kratos row with a breaker goes through Invoke, which makes its own request and decodes the answer.`

func httpGates(one, two measured) []report.Gate {
	added := func(name string, aim float64, what string) report.Gate {
		return report.Gate{What: what, Bound: report.AtMost, Aim: aim, Unit: "deadlines", Measured: units(one, name, bareDeadline)}
	}
	allocs := func(name string, aim float64, what string) report.Gate {
		return report.Gate{What: what, Bound: report.AtMost, Aim: aim, Measured: report.MedianOf(one.added(name, allocations))}
	}
	below := func(peer, what string) report.Gate {
		return report.Gate{
			What: "CPU added by both timeouts, by what " + what + " adds", Bound: report.AtMost, Aim: 1, Unit: "x",
			Measured: report.Ratio(one.added(hopTimeouts, cpuTime), one.added(peer, cpuTime)),
		}
	}
	return []report.Gate{
		added(hopDefault, 1.9, "CPU added by the default policy"),
		allocs(hopDefault, 7, "allocations added by the default policy"),
		added(hopTimeouts, 2.9, "CPU added by both timeouts"),
		allocs(hopTimeouts, 10, "allocations added by both timeouts"),
		added(hopTimeouts, 2.3, "CPU added by both timeouts, beside httplb's with a timeout"),
		allocs(hopTimeouts, 9, "allocations added by both timeouts, beside httplb's with a timeout"),
		below(failsafe, "failsafe-go's retry, breaker and timeout"),
		below(goZero, "go-zero's breaker and timeout"),
		below(kratosP2C, "kratos's p2c and timeout"),
		{
			What: "contention of the default policy", Bound: report.AtMost, Aim: 1.15, Unit: "x",
			Measured: contention(one, two, hopDefault),
		},
	}
}

// GRPC measures a unary call over in-memory connections.
func GRPC(ctx context.Context, o report.Options) (s report.Section, err error) {
	g, stop, err := overGRPC()
	if err != nil {
		return report.Section{}, err
	}
	defer func() {
		err = errors.Join(err, g.close())
		stop()
	}()
	o.Log("grpc: %d clients over in-memory connections, at GOMAXPROCS 1 and 2", len(g))
	all, err := compare(ctx, g, []int{1, 2}, size(o, plan{rounds: 12, turns: 3, calls: 1000}))
	if err != nil {
		return report.Section{}, err
	}
	one, two := all[0], all[1]
	return report.Section{
		Order: 15, Name: "grpc-call", Title: "One gRPC call, without a network",
		Command: "cd bench && go run ./cmd/report -docs ../docs -only grpc-call",
		Text:    grpcText,
		Gates: []report.Gate{{
			What: "contention of the default policy over gRPC", Bound: report.AtMost, Aim: 1.15, Unit: "x",
			Measured: contention(one, two, hopDefault),
		}},
		Tables: []report.Table{costs(one, two, roundRobinDeadline)},
		Plots: []report.Plot{
			bars(one, "grpc-call-cpu", "CPU of one unary gRPC call, client and server, GOMAXPROCS 1", "us", cpuTime, 1e-3),
		},
	}, nil
}

const grpcText = `A unary call with 100 bytes each way to three servers of grpc-go in the same process, over in-memory connections
(bufconn). The figures include the servers' work, which is the same for all. Units are those of the table above: what a
context's deadline adds, here to plain round_robin. kratos and go-zero set a timeout of their own; go-zero's client also traces and
counts (both on by default).`

func size(o report.Options, p plan) plan {
	if o.Short {
		return plan{rounds: 1, turns: 1, calls: 20}
	}
	if o.Rounds > 0 {
		p.rounds = o.Rounds
	}
	return p
}

// units is the CPU that a candidate adds, by what the deadline adds.
func units(m measured, name, deadline string) report.Figure {
	return report.Ratio(m.added(name, cpuTime), m.added(deadline, cpuTime))
}

// contention is how a call's time changes with a second core, by how the first candidate's does.
func contention(one, two measured, name string) report.Figure {
	growth := func(name string) []float64 {
		return combine(two.of(name, wallTime), one.of(name, wallTime), func(two, one float64) float64 { return two / one })
	}
	return report.Ratio(growth(name), growth(one.group[0].Name))
}

func costs(one, two measured, deadline string) report.Table {
	t := report.Table{Columns: []string{
		"client", "CPU us", "added, in deadlines", "time us", "bytes", "allocations", "CPU us at 2", "time us at 2", "contention",
	}}
	us := func(m measured, name string, get func(cost) float64) report.Cell {
		return report.Measured(scaled(m.of(name, get), 1e-3))
	}
	for i, c := range one.group {
		row := []report.Cell{
			report.Word(c.Name), us(one, c.Name, cpuTime), {}, us(one, c.Name, wallTime),
			report.Measured(scaled(one.of(c.Name, allBytes), 1)), report.Measured(scaled(one.of(c.Name, allocations), 1)),
			us(two, c.Name, cpuTime), us(two, c.Name, wallTime), {},
		}
		if i > 0 {
			row[2] = report.Measured(units(one, c.Name, deadline))
			row[8] = report.Measured(contention(one, two, c.Name))
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

func bars(m measured, file, title, unit string, get func(cost) float64, scale float64) report.Plot {
	p := report.Plot{File: file, Title: title, XLabel: unit}
	for _, c := range m.group {
		p.Bars = append(p.Bars, report.Bar{Name: c.Name, Ours: c.Ours, Figure: scaled(m.of(c.Name, get), scale)})
	}
	return p
}

func scaled(rounds []float64, scale float64) report.Figure {
	for i := range rounds {
		rounds[i] *= scale
	}
	return report.MedianOf(rounds)
}

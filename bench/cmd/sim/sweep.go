package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/onehop-go/onehop/bench/sim"
)

// sweep is one figure of several algorithms over a range of something, in one panel or more.
type sweep struct {
	file, title, intro, axis string
	algorithms               []rival
	value                    func(sim.Span) float64
	panels                   []panel
}

// panel is one range: the figures of each algorithm at each point.
type panel struct {
	what     string
	points   []float64
	linear   bool // the axis; else by powers of ten
	scenario func(x float64) sim.Scenario
	values   [][]float64 // by algorithm, by point
}

// What the ranges have in common where they do not vary it.
const (
	baseServers = 10
	baseClients = 20
	baseRate    = 1000
	sweepCalls  = 4000
)

// sizes varies the servers, the calls a second and the clients of a service of which a tenth is bad.
func sizes(fails bool) *sweep {
	s := &sweep{
		file: "sweep-slow", axis: "p99, ms", value: p99, algorithms: rivals,
		title: "a tenth of the servers is slow (100 ms more on 30 % of the requests)",
		intro: fmt.Sprintf("Where nothing else is said there are %d servers, %d clients and %d calls a second; %d calls each, after "+
			"half as many to warm up.", baseServers, baseClients, baseRate, sweepCalls),
	}
	if fails {
		s.file, s.axis, s.value, s.title = "sweep-fails", "% ok", okShare, "a tenth of the servers answers 503 at once"
	}
	s.panels = []panel{
		{what: "servers", points: []float64{2, 3, 10, 30, 100, 1000, 10_000}, scenario: func(x float64) sim.Scenario {
			return sim.Tenth(int(x), baseClients, baseRate, fails, sweepCalls)
		}},
		{what: "calls a second", points: []float64{1, 10, 100, 300, 1000, 3000, 10_000}, scenario: func(x float64) sim.Scenario {
			return sim.Tenth(baseServers, baseClients, x, fails, sweepCalls)
		}},
		{what: "clients", points: []float64{1, 2, 5, 10, 20, 50, 100, 200}, scenario: func(x float64) sim.Scenario {
			return sim.Tenth(baseServers, int(x), baseRate, fails, sweepCalls)
		}},
	}
	return s
}

// speeds varies how many of the calls take 2 s in place of 5 ms, and shows what a server that is three times as slow as
// its nine peers is given.
func speeds() *sweep {
	return &sweep{
		file: "two-speeds", axis: "% of the calls at the slow server", value: firstLoad,
		title: "calls of 5 ms and of 2 s on the same ten servers, one of them three times as slow",
		intro: "Divided: the calls of 2 s have a route, and each sample is divided by what its route usually takes. Not divided: " +
			"no route tells them apart, and each sample is taken as it is.",
		algorithms: []rival{
			{"onehop, divided", engine(asItIs)},
			{"onehop, not divided", fixed(sim.Engine(nil))},
			{"least request", fixed(sim.LeastRequest)},
			{"Finagle's rules", fixed(sim.Finagle)},
		},
		panels: []panel{{
			what: "% of the calls that take 2 s", points: []float64{0, 0.5, 1, 2, 5, 10, 20}, linear: true,
			scenario: func(x float64) sim.Scenario { return sim.TwoSpeeds(x / 100) },
		}},
	}
}

// run fills the panels, each beside what else is running.
func (s *sweep) run(t *testing.T) {
	t.Helper()
	for i := range s.panels {
		p := &s.panels[i]
		t.Run(s.file+" "+p.what, func(t *testing.T) {
			t.Parallel()
			p.values = make([][]float64, len(s.algorithms))
			for _, x := range p.points {
				sc := p.scenario(x)
				for j, r := range s.algorithms {
					p.values[j] = append(p.values[j], s.value(sim.Run(t, sc, r.make(sc)).All()))
				}
			}
			fmt.Fprintln(os.Stderr, "done:", s.file, p.what)
		})
	}
}

// text is the tables in Markdown.
func (s *sweep) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n**%s: %s.** %s\n", s.title, s.axis, s.intro)
	for i := range s.panels {
		p := &s.panels[i]
		fmt.Fprintf(&b, "\n| %s |", p.what)
		for _, x := range p.points {
			fmt.Fprintf(&b, " %v |", x)
		}
		b.WriteString("\n|---|" + strings.Repeat("---|", len(p.points)) + "\n")
		for j, values := range p.values {
			fmt.Fprintf(&b, "| %s |", s.algorithms[j].name)
			for _, v := range values {
				fmt.Fprintf(&b, " %.1f |", v)
			}
			b.WriteString("\n")
		}
	}
	return b.String()
}

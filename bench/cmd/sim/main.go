// Command sim compares the engine with other algorithms in virtual time, and writes the figures and the pictures into
// the documents. From the folder bench:
//
//	go run ./cmd/sim                 # prints the tables
//	go run ./cmd/sim -docs ../docs   # writes them between the marks in engine.md, and the plots into img
//	go run ./cmd/sim -only overload  # one scenario by a part of its name
package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/onehop-go/onehop/bench/sim"
	"github.com/onehop-go/onehop/policy"
)

var (
	docs = flag.String("docs", "", "folder of engine.md; empty: print only")
	only = flag.String("only", "", "a part of the names of the scenarios to run; empty: all, and the sweeps")
)

// A bubble of virtual time needs a *testing.T, so this program is a test binary of one test.
func main() {
	testing.Init()
	flag.Parse()
	if *docs != "" && *only != "" {
		fmt.Fprintln(os.Stderr, "sim: the documents need all the scenarios: -docs or -only")
		os.Exit(2)
	}
	all := func(_, _ string) (bool, error) { return true, nil }
	testing.Main(all, []testing.InternalTest{{Name: "sim", F: run}}, nil, nil)
}

// rival is an algorithm in the comparison.
type rival struct {
	name string
	make func(s sim.Scenario) sim.Maker
}

func fixed(m sim.Maker) func(sim.Scenario) sim.Maker {
	return func(sim.Scenario) sim.Maker { return m }
}

// engine is the real engine with the default policy as change alters it, and a route for the calls that are heavy.
func engine(change func(*policy.Policy)) func(sim.Scenario) sim.Maker {
	return func(s sim.Scenario) sim.Maker {
		return sim.EngineFor(s, func(p *policy.Policy) {
			change(p)
			sim.HeavyRoute(p)
		})
	}
}

func asItIs(*policy.Policy) {}

func hedged(p *policy.Policy) { p.Hedge = 0.05 }

var rivals = []rival{
	{"onehop", engine(asItIs)},
	{"onehop, hedge: 5%", engine(hedged)},
	{"round robin", fixed(sim.RoundRobin)},
	{"random", fixed(sim.Random)},
	{"least request", fixed(sim.LeastRequest)},
	{"Finagle's rules", fixed(sim.Finagle)},
	{"Envoy's rules", fixed(sim.Envoy)},
}

var scenarios = []sim.Scenario{
	sim.OneSlow(false),
	sim.OneSlow(true),
	sim.SlowRamp(),
	sim.SlowHost(),
	sim.TwoSpeeds(0.02),
	sim.OneFailsFast(500, 20),
	sim.OneFailsFast(503, 20),
	sim.TenFailFast(503),
	sim.AllFail(0.5, 503, 20),
	sim.Killed(6, 20),
	sim.Killed(8, 200),
	sim.Blackholed(6, 20),
	sim.RollingDeploy(),
	sim.ColdStart(),
	sim.Pauses(false),
	sim.Pauses(true),
	sim.Outage(20),
	sim.Overload(false),
	sim.Overload(true),
}

// outcome is one scenario as all the rivals fared in it.
type outcome struct {
	scenario sim.Scenario
	reports  []*sim.Report // by rival
}

func play(t *testing.T, s sim.Scenario) outcome {
	t.Helper()
	o := outcome{scenario: s}
	for _, r := range rivals {
		o.reports = append(o.reports, sim.Run(t, s, r.make(s)))
	}
	return o
}

func run(t *testing.T) {
	t.Helper()
	var all []outcome
	for _, s := range scenarios {
		if strings.Contains(s.Name, *only) {
			all = append(all, outcome{scenario: s})
		}
	}
	var sweeps []*sweep
	if *only == "" {
		sweeps = []*sweep{sizes(false), sizes(true), speeds()}
	}
	t.Run("all", func(t *testing.T) { // ends when those beside one another have ended
		for _, s := range sweeps {
			s.run(t)
		}
		for i := range all {
			t.Run(all[i].scenario.Name, func(t *testing.T) {
				t.Parallel()
				all[i] = play(t, all[i].scenario)
				fmt.Fprintln(os.Stderr, "done:", all[i].scenario.Name)
			})
		}
	})
	for i := range all {
		fmt.Print(all[i].table())
	}
	for _, s := range sweeps {
		fmt.Print(s.text())
	}
	if *docs == "" || t.Failed() {
		return
	}
	if err := write(*docs, all, sweeps); err != nil {
		t.Error(err)
	}
}

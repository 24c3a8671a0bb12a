package wire

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/onehop-go/onehop/bench/report"
)

// direct is the path that the others are compared with, by its name in each comparison.
const (
	directHTTP = "net/http direct"
	directGRPC = "grpc-go round_robin"
	throughHop = "onehop"
)

// twoTimes is what failsafe-go's row has as well: a timeout. onehop's defaults have none.
const twoTimes = "timeout: 20s\nattempt_timeout: 5s\n"

// httpPaths are compared for HTTP. The instances of all but one are a fixed list, so that onehop's row is like the
// others' and no proxy is charged with a control plane it was not given; the row with Consul says what that adds.
var httpPaths = []pathKind{
	{name: directHTTP, by: byNetHTTP},
	{name: directHTTP + ", again", by: byNetHTTP},
	{name: throughHop, by: byOnehop},
	{name: "onehop, both timeouts", by: byOnehop, policy: twoTimes},
	{name: "onehop, Consul", by: byOnehop, consul: true},
	{name: "failsafe-go", by: byFailsafe},
	{name: "nginx", by: byNetHTTP, proxy: &nginx},
	{name: "haproxy", by: byNetHTTP, proxy: &haproxy},
	{name: "Traefik", by: byNetHTTP, proxy: &traefik},
}

var grpcPaths = []pathKind{
	{name: directGRPC, by: byGRPC},
	{name: directGRPC + ", again", by: byGRPC},
	{name: throughHop, by: byHopGRPC},
	{name: "haproxy", by: byGRPC, proxy: &haproxyGRPC},
}

// regime is a load with its name.
type regime struct {
	name string
	load
}

// regimes are the loads of the comparison; the cell of each is measured once a round.
func regimes(c *config) []regime {
	closed, open := c.scaled(400*time.Millisecond), c.scaled(time.Second)
	return []regime{
		{"c=1", load{Workers: 1, For: closed}},
		{"c=16", load{Workers: 16, For: closed}},
		{"c=64", load{Workers: 64, For: closed}},
		{"2,000 rps", load{Rate: 2000, For: open}},
		{"3,000 rps", load{Rate: 3000, For: open}},
	}
}

// comparison is what was measured of some paths under some loads.
type comparison struct {
	*cast

	base    string // the path that ratios are to
	regimes []regime
	cells   map[cellKey][]*cell
}

type cellKey struct{ path, regime string }

// compare measures each path under each load, in rounds. Within a round the paths take turns under one load, each round
// beginning with another path.
func compare(ctx context.Context, c *config, kinds []pathKind, addrs func(fleet) []string) (*comparison, error) {
	f, err := startFleet(ctx, 3)
	defer f.stop()
	if err != nil {
		return nil, err
	}
	here := found(ctx, c, kinds)
	r := &comparison{cast: here, base: kinds[0].name, regimes: regimes(c), cells: map[cellKey][]*cell{}}
	var paths []*path
	defer func() {
		for _, p := range paths {
			p.stop()
		}
	}()
	for i := range here.kinds {
		k := &here.kinds[i]
		p, err := k.open(ctx, &opening{addrs: addrs(f), programs: here.programs, progress: c})
		paths = append(paths, p)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", k.name, err)
		}
	}
	for round := range c.rounds {
		if err := r.round(ctx, c, paths, f, round); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// round measures every cell once.
func (r *comparison) round(ctx context.Context, c *config, paths []*path, f fleet, round int) error {
	turn := round % len(paths)
	inTurn := slices.Concat(paths[turn:], paths[:turn])
	for _, g := range r.regimes {
		c.Log("%s and %d more: round %d of %d, %s", r.base, len(paths)-1, round+1, c.rounds, g.name)
		for _, p := range inTurn {
			cell, err := measure(ctx, p, f, g.load, c.scaled(100*time.Millisecond))
			if err != nil {
				return fmt.Errorf("%s, %s: %w", p.name, g.name, err)
			}
			if failed := len(cell.Failed); failed > 0 { // nothing was broken: such a figure would compare nothing
				return fmt.Errorf("%s, %s: %d of %d calls failed: %s", p.name, g.name, failed, cell.calls(g.load), cell.Error)
			}
			slices.Sort(cell.Latency)
			slices.Sort(cell.Late)
			key := cellKey{p.name, g.name}
			r.cells[key] = append(r.cells[key], cell)
		}
	}
	return nil
}

// metric is what is read off a cell.
type metric func(*cell) float64

func throughput(c *cell) float64 { return c.perSecond() }

// latency is a percentile in microseconds.
func latency(q float64) metric {
	return func(c *cell) float64 { return float64(percentile(c.Latency, q)) / float64(time.Microsecond) }
}

// lateness is a percentile of how late the generator began its calls, in microseconds.
func lateness(q float64) metric {
	return func(c *cell) float64 { return float64(percentile(c.Late, q)) / float64(time.Microsecond) }
}

// cpuPer10k is CPU seconds for 10,000 calls.
func cpuPer10k(part func(cpuShare) time.Duration) metric {
	return func(c *cell) float64 { return part(c.cpu).Seconds() / float64(len(c.Latency)) * 10_000 }
}

// megabytes is memory in 2^20 bytes.
func megabytes(part func(memoryShare) int64) metric {
	return func(c *cell) float64 { return float64(part(c.memory)) / (1 << 20) }
}

// values are the metric in each round.
func (r *comparison) values(path, regime string, m metric) []float64 {
	cells := r.cells[cellKey{path, regime}]
	all := make([]float64, len(cells))
	for i, c := range cells {
		all[i] = m(c)
	}
	return all
}

// figure is the metric over the rounds.
func (r *comparison) figure(path, regime string, m metric) report.Figure {
	return report.MedianOf(r.values(path, regime, m))
}

// ratio is the metric of path in units of base's.
func (r *comparison) ratio(path, base, regime string, m metric) report.Figure {
	return report.Ratio(r.values(path, regime, m), r.values(base, regime, m))
}

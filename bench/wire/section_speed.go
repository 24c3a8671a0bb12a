package wire

import (
	"context"
	"fmt"
	"maps"

	"github.com/onehop-go/onehop/bench/report"
)

const speedText = `
Three instances, each a process, answer every call with 256 bytes over loopback. Each way of calling has a load generator process
of its own, a plain ` + "`net/http`" + ` or grpc-go client but for what stands in its name. A round measures every load once, the ways taking
turns under it; figures are medians of the rounds, ratios medians of the ratios within a round.

- Closed loop: c callers, each with one call at a time. Open loop: calls begin at fixed moments, and latency counts from the moment
  a call was due, so that nothing is left out while others are slow. "begun late" is the generator's own lag, which the latencies contain.
- The rows "again" are the first ones a second time, with processes of their own: what they differ by is noise.
- Percentiles are exact: every sample is kept.
- CPU is that of every process involved, generator and instances too, by the kernel's clock of each. Memory is the proportional set size.
- onehop has its defaults (retries, breakers, p2c_ewma, no times) and a fixed list of instances, as every other row has. The row with
  Consul finds them, and its policy, in a real agent, whose CPU and memory stand under "between": so it is seen what discovery adds,
  and no other row is charged with it.
- failsafe-go has its retries, breaker and timeout over round robin; "onehop, both timeouts" is onehop's like.
- nginx has 2 workers, haproxy and Traefik 2 threads; all keep their connections to caller and instances, and write no access log.
`

// Speed compares the ways of calling end to end where nothing is broken.
func Speed(ctx context.Context, o report.Options) (report.Section, error) {
	c := newConfig(o, 24) // short and many: the machine is another one from second to second
	s := report.Section{Order: 20, Name: "wire", Title: "End to end", Text: speedText, Command: "cd bench && go run ./cmd/report -docs ../docs -only wire"}
	web, err := compare(ctx, c, httpPaths, fleet.http)
	if err != nil {
		return s, err
	}
	rpc, err := compare(ctx, c, grpcPaths, fleet.grpc)
	if err != nil {
		return s, err
	}
	s.Programs, s.Missing = web.versions, web.missing
	maps.Copy(s.Missing, rpc.missing)
	s.Gates = append(web.httpGates(), rpc.grpcGates()...)
	for _, r := range []struct {
		protocol string
		*comparison
	}{{"HTTP", web}, {"gRPC", rpc}} {
		s.Tables = append(s.Tables, r.throughputTable(r.protocol), r.latencyTable(r.protocol), r.costTable(r.protocol))
		s.Plots = append(s.Plots, r.plots(r.protocol)...)
	}
	return s, nil
}

// column is a metric in a table.
type column struct {
	heading string
	regime  string
	metric  metric
	ratio   bool // in units of the base
}

// table has a row for each path.
func (r *comparison) table(title string, columns []column) report.Table {
	t := report.Table{Title: title, Columns: []string{"way"}}
	for _, c := range columns {
		t.Columns = append(t.Columns, c.heading)
	}
	for i := range r.kinds {
		name := r.kinds[i].name
		row := []report.Cell{report.Word(name)}
		for _, c := range columns {
			f := r.figure(name, c.regime, c.metric)
			if c.ratio {
				f = r.ratio(name, r.base, c.regime, c.metric)
			}
			row = append(row, report.Measured(f))
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

func (r *comparison) throughputTable(protocol string) report.Table {
	var columns []column
	for _, g := range r.closed() {
		columns = append(columns,
			column{heading: g.name + ": calls/s", regime: g.name, metric: throughput},
			column{heading: "of direct", regime: g.name, metric: throughput, ratio: true},
			column{heading: "p99 us", regime: g.name, metric: latency(0.99)})
	}
	return r.table(protocol+", closed loop", columns)
}

func (r *comparison) latencyTable(protocol string) report.Table {
	var columns []column
	for _, g := range r.open() {
		columns = append(columns,
			column{heading: g.name + ": p50 us", regime: g.name, metric: latency(0.5)},
			column{heading: "of direct", regime: g.name, metric: latency(0.5), ratio: true},
			column{heading: "p99 us", regime: g.name, metric: latency(0.99)},
			column{heading: "of direct", regime: g.name, metric: latency(0.99), ratio: true},
			column{heading: "p99.9 us", regime: g.name, metric: latency(0.999)},
			column{heading: "begun late: p50 us", regime: g.name, metric: lateness(0.5)})
	}
	return r.table(protocol+", open loop", columns)
}

// costTable is of the lowest open loop: the same calls in the same time by everybody.
func (r *comparison) costTable(protocol string) report.Table {
	at := r.open()[0].name
	return r.table(fmt.Sprintf("%s, CPU seconds for 10,000 calls, and memory, at %s", protocol, at), []column{
		{"caller", at, cpuPer10k(callerCPU), false},
		{"between", at, cpuPer10k(betweenCPU), false},
		{"instances", at, cpuPer10k(instancesCPU), false},
		{"all", at, cpuPer10k(cpuShare.total), false},
		{"of direct", at, cpuPer10k(cpuShare.total), true},
		{"memory of the caller, MiB", at, megabytes(callerMemory), false},
		{"between, MiB", at, megabytes(betweenMemory), false},
	})
}

// closed and open are the regimes by their kind.
func (r *comparison) closed() []regime { return r.those(func(g regime) bool { return g.Rate == 0 }) }
func (r *comparison) open() []regime   { return r.those(func(g regime) bool { return g.Rate > 0 }) }

func (r *comparison) those(kind func(regime) bool) []regime {
	var some []regime
	for _, g := range r.regimes {
		if kind(g) {
			some = append(some, g)
		}
	}
	return some
}

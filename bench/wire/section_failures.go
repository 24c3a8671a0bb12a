package wire

import (
	"context"
	"slices"
	"time"

	"github.com/onehop-go/onehop/bench/report"
)

const failuresText = `
One of ten instances, each a process, goes bad under 1,000 calls a second (open loop, latency from the moment a call is due), and
is watched for two seconds. It stays in every list, and the page a health check asks for stays well: a failure that the check
notices is the easy case. Every trial has a caller that is new to the instances.

- onehop has its defaults. failsafe-go has retries (3 attempts), a breaker for the service and a timeout over round robin. kratos has its p2c
  balancer. haproxy has leastconn, a health check each second, counts bad answers (` + "`observe layer7`" + `: 10 take the instance out) and
  repeats 502, 503, 504 and broken connections elsewhere.
- p99 and p99.9 are of the calls that were answered well. "last failed" is when the last call that failed was due, from the failure on.
- "reached it" are the calls that the instance's own ledger counts after the failure, as a share of a tenth of all; "left alone after" is the end of the
  last 100 ms in which it got more than a tenth of its share: 2,000 means never. A killed instance has no ledger.
- 500 is repeated by failsafe-go alone: nobody else repeats by default what the service says is its own error.
`

// Failures compares what the caller feels of one bad instance in ten.
func Failures(ctx context.Context, o report.Options) (report.Section, error) {
	c := newConfig(o, 6) // the fewest of which a median's confidence can be told
	s := report.Section{
		Order: 25, Name: "failures", Title: "One bad instance of ten", Text: failuresText,
		Command: "cd bench && go run ./cmd/report -docs ../docs -only failures",
	}
	here, all, err := suffer(ctx, c)
	if err != nil {
		return s, err
	}
	s.Programs, s.Missing = here.versions, here.missing
	for _, what := range failing {
		s.Tables = append(s.Tables, all.table(here, &what))
		s.Plots = append(s.Plots, all.plot(here, &what))
		if what.retried {
			s.Gates = append(s.Gates, report.Gate{
				What: "calls that fail in the worst round, 1 of 10 " + what.name, Bound: report.AtMost, Aim: 0,
				Measured: report.Exactly(slices.Max(all.values(throughHop, &what, failedCalls))),
			})
		}
	}
	return s, nil
}

// reading is what is read off a trial.
type reading func(*trial) float64

func failedCalls(t *trial) float64 { return float64(t.failed) }

func milliseconds(of func(*trial) time.Duration) reading {
	return func(t *trial) float64 { return float64(of(t)) / float64(time.Millisecond) }
}

// shareReached is in per cent of the instance's fair share.
func shareReached(t *trial) float64 {
	return 100 * float64(t.reached) / (float64(t.calls) / failureInstances)
}

func (all trials) values(path string, what *failure, r reading) []float64 {
	var values []float64
	for _, t := range all[trialKey{path, what.name}] {
		values = append(values, r(t))
	}
	return values
}

func (all trials) figure(path string, what *failure, r reading) report.Figure {
	return report.MedianOf(all.values(path, what, r))
}

// table is a failure as every path fared in it.
func (all trials) table(here *cast, what *failure) report.Table {
	readings := []struct {
		heading string
		reading
	}{
		{"failed calls", failedCalls},
		{"last failed, ms", milliseconds(func(t *trial) time.Duration { return t.last })},
		{"p99 ms", milliseconds(func(t *trial) time.Duration { return t.p99 })},
		{"p99.9 ms", milliseconds(func(t *trial) time.Duration { return t.p999 })},
		{"reached it, % of its share", shareReached},
		{"left alone after, ms", milliseconds(func(t *trial) time.Duration { return t.alone })},
	}
	if what.fault == nil {
		readings = readings[:4]
	}
	t := report.Table{Title: "1 of 10 " + what.name, Columns: []string{"way"}}
	for _, r := range readings {
		t.Columns = append(t.Columns, r.heading)
	}
	for i := range here.kinds {
		row := []report.Cell{report.Word(here.kinds[i].name)}
		for _, r := range readings {
			row = append(row, report.Measured(all.figure(here.kinds[i].name, what, r.reading)))
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// plot is the one figure that tells the paths apart: how slow, or how often failed.
func (all trials) plot(here *cast, what *failure) report.Plot {
	p := report.Plot{File: "failures-" + what.file, Title: "1 of 10 " + what.name + ": failed calls of some 2,000", XLabel: "failed calls"}
	r := failedCalls
	if what.fault != nil && what.fault.Delay > 0 {
		p.Title, p.XLabel = "1 of 10 "+what.name+": p99", "ms"
		r = milliseconds(func(t *trial) time.Duration { return t.p99 })
	}
	for i := range here.kinds {
		k := &here.kinds[i]
		p.Bars = append(p.Bars, report.Bar{Name: k.name, Ours: k.ours(), Figure: all.figure(k.name, what, r)})
	}
	return p
}

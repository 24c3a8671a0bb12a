package wire

import (
	"slices"
	"testing"

	"go.uber.org/goleak"

	"github.com/onehop-go/onehop/bench/report"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// shortly are the options of a section that only proves that all works.
func shortly(t *testing.T) report.Options {
	t.Helper()
	return report.Options{Short: true, Logf: t.Logf}
}

// A call that fails ends the section with an error, so that a section that comes has sent all its calls everywhere.
func TestEveryWayCarriesEveryLoad(t *testing.T) {
	s, err := Speed(t.Context(), shortly(t))
	if err != nil {
		t.Fatal(err)
	}
	complete(t, s.Tables[:3], httpPaths, s.Missing)
	complete(t, s.Tables[3:], grpcPaths, s.Missing)
	for _, g := range s.Gates {
		if g.Measured.Median <= 0 || g.Aim <= 0 {
			t.Errorf("gate %q has the aim %v and measured %v", g.What, g.Aim, g.Measured)
		}
	}
	for _, p := range s.Plots {
		if len(p.Lines)+len(p.Bars) == 0 {
			t.Errorf("plot %s is empty", p.File)
		}
	}
	if err := report.Save(t.TempDir(), s); err != nil {
		t.Error(err)
	}
}

// complete finds rows that lack, and figures that are not there: only what is between may be 0, where nothing is.
func complete(t *testing.T, tables []report.Table, kinds []pathKind, missing map[string]string) {
	t.Helper()
	for _, table := range tables {
		rows := table.Rows
		for i := range kinds {
			k := &kinds[i]
			if missing[k.name] != "" {
				t.Logf("%s: not here: %s", k.name, missing[k.name])
				continue
			}
			if len(rows) == 0 || rows[0][0].Text != k.name {
				t.Fatalf("%s: no row of %s", table.Title, k.name)
			}
			for n, cell := range rows[0][1:] {
				nothing := k.proxy == nil && !k.consul && slices.Contains([]string{"between", "between, MiB"}, table.Columns[n+1])
				if (cell.Figure.Median > 0) == nothing {
					t.Errorf("%s, %s: %s is %v", table.Title, k.name, table.Columns[n+1], cell)
				}
			}
			rows = rows[1:]
		}
	}
}

func TestFailuresAreFeltWithoutOnehop(t *testing.T) {
	c := newConfig(shortly(t), 1)
	here, all, err := suffer(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	for i := range here.kinds {
		for _, what := range failing {
			key := trialKey{here.kinds[i].name, what.name}
			if n := len(all[key]); n != 1 || all[key][0].calls == 0 {
				t.Errorf("%v: %d trials", key, n)
			}
		}
	}
	for _, what := range failing {
		direct, hop := all[trialKey{directHTTP, what.name}][0], all[trialKey{throughHop, what.name}][0]
		slow := what.fault != nil && what.fault.Delay > 0
		if slow != (direct.failed == 0) {
			t.Errorf("%s: %d calls failed by round robin", what.name, direct.failed)
		}
		if what.fault != nil && direct.reached == 0 {
			t.Errorf("%s: the ledger knows of no call by round robin", what.name)
		}
		// One that is killed has calls in flight, and the short form has not earned more than the budget's least of 10 retries.
		if slow && hop.failed > 0 || what.fault == nil && hop.failed > direct.failed/2 {
			t.Errorf("%s: %d calls failed through onehop, %d by round robin", what.name, hop.failed, direct.failed)
		}
	}
}

package peers

import (
	"testing"

	"github.com/onehop-go/onehop/bench/report"
)

// TestShortForm runs all candidates: one that no longer answers fails its turn.
func TestShortForm(t *testing.T) {
	for _, row := range []struct {
		measure    report.Measure
		candidates int
	}{{Call, 11}, {GRPC, 9}} {
		s, err := row.measure(t.Context(), report.Options{Short: true, Logf: t.Logf})
		if err != nil {
			t.Fatal(err)
		}
		if n := len(s.Tables[0].Rows); n != row.candidates {
			t.Errorf("%s: %d candidates, want %d", s.Name, n, row.candidates)
		}
		for _, r := range s.Tables[0].Rows {
			if allocated := r[5].Figure; allocated.Median < 1 {
				t.Errorf("%s: %v allocates %v", s.Name, r[0], allocated)
			}
		}
	}
}

// TestAddedCountsFromTheFirst: the arithmetic of a table, on rounds made by hand.
func TestAddedCountsFromTheFirst(t *testing.T) {
	m := measured{
		group: group{{Name: "bare"}, {Name: "deadline"}, {Name: "other"}},
		rounds: [][]cost{
			{{cpu: 100, wall: 10}, {cpu: 200, wall: 10}},
			{{cpu: 140, wall: 10}, {cpu: 250, wall: 10}},
			{{cpu: 180, wall: 20}, {cpu: 300, wall: 20}},
		},
	}
	if got := units(m, "other", "deadline"); got.Median != 2 {
		t.Errorf("80 by 40, 100 by 50: %v, want 2", got)
	}
	two := measured{group: m.group, rounds: [][]cost{{{wall: 5}, {wall: 5}}, nil, {{wall: 15}, {wall: 15}}}}
	if got := contention(m, two, "other"); got.Median != 1.5 {
		t.Errorf("from 20 to 15 where bare halves: %v, want 1.5", got)
	}
}

func TestMiddleIsByFigure(t *testing.T) {
	got := middle([]cost{{wall: 3, cpu: 1, bytes: 2, allocs: 9}, {wall: 1, cpu: 2, bytes: 3, allocs: 7}, {wall: 2, cpu: 3, bytes: 1, allocs: 8}})
	if want := (cost{wall: 2, cpu: 2, bytes: 2, allocs: 8}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

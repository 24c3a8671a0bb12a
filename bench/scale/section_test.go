package scale

import (
	"math"
	"testing"

	"github.com/onehop-go/onehop/bench/report"
)

// TestShortForm: every cost is measured, none is nothing.
func TestShortForm(t *testing.T) {
	s, err := Scale(t.Context(), report.Options{Short: true, Logf: t.Logf})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range s.Plots {
		for _, l := range p.Lines {
			if len(l.Points) != 2 {
				t.Errorf("%s, %s: %v, want two points", p.File, l.Name, l.Points)
			}
			for _, at := range l.Points {
				if !(at.Y > 0) || math.IsInf(at.Y, 0) {
					t.Errorf("%s, %s: %v", p.File, l.Name, at)
				}
			}
		}
	}
}

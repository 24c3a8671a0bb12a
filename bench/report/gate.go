package report

import (
	"encoding/json"
	"fmt"
)

// Bound says on which side of the aim a gate is met.
type Bound string

// The bounds.
const (
	AtMost  Bound = "at most"
	AtLeast Bound = "at least"
)

// Gate is a figure with an aim. Whether it is met is computed, never stated.
type Gate struct {
	What     string  `json:"what"`
	Bound    Bound   `json:"bound"`
	Aim      float64 `json:"aim"`
	Unit     string  `json:"unit,omitempty"` // behind both: "x", "allocations"
	Measured Figure  `json:"measured"`
	Note     string  `json:"note,omitempty"` // why it is missed, or what it leaves open
}

// Met compares the median with the aim.
func (g Gate) Met() bool {
	if g.Bound == AtLeast {
		return g.Measured.Median >= g.Aim
	}
	return g.Measured.Median <= g.Aim
}

// Verdict is "yes", "no", or "within noise" where the aim lies in the interval: a second run may say the other.
func (g Gate) Verdict() string {
	verdict := "no"
	if g.Met() {
		verdict = "yes"
	}
	if f := g.Measured; f.Low < g.Aim && g.Aim < f.High {
		verdict += ", within noise"
	}
	return verdict
}

// UnmarshalJSON refuses a bound that it does not know: it would turn the verdict around.
func (b *Bound) UnmarshalJSON(data []byte) error {
	var s string
	if err := json.Unmarshal(data, &s); err != nil {
		return err
	}
	if *b = Bound(s); *b != AtMost && *b != AtLeast {
		return fmt.Errorf("report: bound %q, want %q or %q", s, AtMost, AtLeast)
	}
	return nil
}

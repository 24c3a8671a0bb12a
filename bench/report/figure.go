package report

import (
	"fmt"
	"math"
	"strconv"

	"golang.org/x/perf/benchmath"
)

// Figure is a median and the interval that holds the true median with 95 % confidence, by benchstat's own arithmetic (order
// statistics, no distribution assumed). Low and High are 0 where it was not measured repeatedly, or too few times (6) to say.
type Figure struct {
	Median float64 `json:"median"`
	Low    float64 `json:"low,omitempty"`
	High   float64 `json:"high,omitempty"`
	N      int     `json:"n,omitempty"` // rounds
}

// Exactly is a figure that was counted, measured once, or computed from others.
func Exactly(x float64) Figure { return Figure{Median: x} }

// MedianOf sums up one value a round. Without values it is the zero Figure.
func MedianOf(rounds []float64) Figure {
	if len(rounds) == 0 {
		return Figure{}
	}
	s := benchmath.AssumeNothing.Summary(benchmath.NewSample(append([]float64(nil), rounds...), &benchmath.DefaultThresholds), 0.95)
	f := Figure{Median: s.Center, N: len(rounds)}
	if !math.IsInf(s.Lo, 0) && !math.IsInf(s.Hi, 0) {
		f.Low, f.High = s.Lo, s.Hi
	}
	return f
}

// Ratio is the median of a's rounds by b's of the same number: what disturbed a round disturbed both. A round in which b is 0
// says nothing and is left out.
func Ratio(a, b []float64) Figure {
	var ratios []float64
	for i := range min(len(a), len(b)) {
		if b[i] != 0 {
			ratios = append(ratios, a[i]/b[i])
		}
	}
	return MedianOf(ratios)
}

// Spread is the wider half of the interval as a share of the median; 0 where it is not known.
func (f Figure) Spread() float64 {
	if f.Low == 0 && f.High == 0 || f.Median == 0 {
		return 0
	}
	return max(f.High-f.Median, f.Median-f.Low) / math.Abs(f.Median)
}

// String is the median in three digits and the spread: "1.42 ± 3%".
func (f Figure) String() string {
	if f.Low == 0 && f.High == 0 {
		return digits(f.Median)
	}
	return fmt.Sprintf("%s ± %.0f%%", digits(f.Median), 100*f.Spread())
}

// digits writes three digits, all of a whole number's, and never an exponent.
func digits(x float64) string {
	a := math.Abs(x)
	switch {
	case a >= 100 || x == math.Trunc(x):
		return thousands(strconv.FormatFloat(math.Round(x), 'f', 0, 64))
	case a >= 10:
		return strconv.FormatFloat(x, 'f', 1, 64)
	case a >= 1:
		return strconv.FormatFloat(x, 'f', 2, 64)
	default:
		return strconv.FormatFloat(x, 'f', 3, 64)
	}
}

func thousands(s string) string {
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

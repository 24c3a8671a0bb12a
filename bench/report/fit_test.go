package report

import (
	"math"
	"testing"
)

func TestExponent(t *testing.T) {
	for _, want := range []float64{0, 0.5, 1, 2} {
		var points []Point
		for x := 10.0; x < 1e6; x *= 10 {
			points = append(points, Point{X: x, Y: 7 * math.Pow(x, want)})
		}
		points = append(points, Point{X: 5, Y: 0})
		if got := Exponent(points); math.Abs(got-want) > 1e-9 {
			t.Errorf("a cost that grows with the power %g has the exponent %g", want, got)
		}
	}
	if got := Exponent([]Point{{X: 3, Y: 4}}); got != 0 {
		t.Errorf("one point has the exponent %g", got)
	}
}

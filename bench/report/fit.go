package report

import "math"

// Exponent is k of the power law y = a x^k that fits the points best: least squares over the logarithms. 0: the cost does not
// depend on the size; 1: it is in proportion. Points without a cost are left out, and it is 0 with fewer than two.
func Exponent(points []Point) float64 {
	var n, sx, sy, sxx, sxy float64
	for _, p := range points {
		if p.X <= 0 || p.Y <= 0 {
			continue
		}
		x, y := math.Log(p.X), math.Log(p.Y)
		n, sx, sy, sxx, sxy = n+1, sx+x, sy+y, sxx+x*x, sxy+x*y
	}
	if d := n*sxx - sx*sx; d > 0 {
		return (n*sxy - sx*sy) / d
	}
	return 0
}

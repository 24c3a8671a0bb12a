package scale

import (
	"math"

	"github.com/onehop-go/onehop/bench/report"
)

// curve is a cost over a size.
type curve struct {
	name   string
	ours   bool
	points []report.Point
}

func (c *curve) add(x int, y float64) {
	c.points = append(c.points, report.Point{X: float64(x), Y: y})
}

func (c *curve) line() report.Line { return report.Line{Name: c.name, Ours: c.ours, Points: c.points} }

// at is the cost at a size that was measured.
func (c *curve) at(x int) float64 {
	for _, p := range c.points {
		if p.X == float64(x) {
			return p.Y
		}
	}
	return math.NaN() // report.Save refuses it
}

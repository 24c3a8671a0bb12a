package balance

import "math/rand/v2"

// Alias draws indexes in proportion to their weights in constant time (Walker 1977, Vose 1991). Immutable.
type Alias struct {
	keep  []float64 // probability that a column's own index is taken
	other []int32
}

// NewAlias returns the table for these weights, each at least 1; nil where all are equal, so that a uniform draw does.
func NewAlias(weights []int) *Alias {
	sum, equal := 0, true
	for _, w := range weights {
		sum += w
		equal = equal && w == weights[0]
	}
	if equal {
		return nil
	}
	n := len(weights)
	a := &Alias{keep: make([]float64, n), other: make([]int32, n)}
	var small, large []int32
	for i, w := range weights {
		a.keep[i] = float64(w) * float64(n) / float64(sum)
		if a.keep[i] < 1 {
			small = append(small, int32(i))
		} else {
			large = append(large, int32(i))
		}
	}
	for len(small) > 0 && len(large) > 0 {
		s, l := small[len(small)-1], large[len(large)-1]
		small = small[:len(small)-1]
		a.other[s] = l
		if a.keep[l] -= 1 - a.keep[s]; a.keep[l] < 1 {
			large, small = large[:len(large)-1], append(small, l)
		}
	}
	for _, i := range append(small, large...) { // what rounding left over
		a.keep[i] = 1
	}
	return a
}

// Draw is one index.
func (a *Alias) Draw() int {
	r := rand.Uint64()
	i := int(r >> 32 * uint64(len(a.keep)) >> 32)
	if float64(r&0xffffffff)*0x1p-32 < a.keep[i] {
		return i
	}
	return int(a.other[i])
}

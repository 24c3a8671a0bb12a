// Package balance has the algorithms that choose among endpoints. Each returns indexes and knows no other type.
package balance

import "math/rand/v2"

// Two draws two distinct indexes below n, which must be at least 2: the power of two choices (Mitzenmacher 2001). Two
// equal draws would give the worse of two endpoints a quarter of all picks.
func Two(n int) (i, j int) {
	// One 64-bit draw serves both: the high and the low half, each scaled to its range (Lemire 2019).
	r := rand.Uint64()
	i = int(r >> 32 * uint64(n) >> 32)
	j = int(r & 0xffffffff * uint64(n-1) >> 32)
	if j >= i {
		j++
	}
	return i, j
}

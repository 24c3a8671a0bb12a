package scale

import "time"

// fastest is the shortest time of what it timed; 0: nothing yet.
type fastest time.Duration

func (f *fastest) time(do func()) {
	start := time.Now()
	do()
	if d := fastest(time.Since(start)); *f == 0 || d < *f {
		*f = d
	}
}

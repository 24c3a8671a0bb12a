package balance

import "sync/atomic"

// Turns is smooth weighted round robin without a lock: a fixed order in which every index appears in proportion to its
// weight, its turns spread evenly, walked by an atomic counter. Immutable, so that its counter can outlive it.
type Turns struct {
	weights []uint64
	most    uint64
}

// NewTurns returns the order for these weights; one below 1 counts as 1.
func NewTurns(weights []int) *Turns {
	t := &Turns{weights: make([]uint64, len(weights))}
	for i, w := range weights {
		t.weights[i] = uint64(max(1, w))
		t.most = max(t.most, t.weights[i])
	}
	return t
}

// Next is the index whose turn it is, -1 where there is none. It is the static stride of grpc-go's
// weighted_round_robin: in each pass over the indexes one of weight w is taken w times in every `most` passes, at
// passes that lie evenly.
func (t *Turns) Next(turn *atomic.Uint64) int {
	n := uint64(len(t.weights))
	if n == 0 {
		return -1
	}
	for {
		seq := turn.Add(1) - 1
		i, pass := seq%n, seq/n
		w := t.weights[i]
		// An offset by half the range for every other index keeps equal weights from falling silent together.
		offset := t.most / 2 * (i & 1)
		if (w*pass+offset)%t.most >= t.most-w {
			return int(i)
		}
	}
}

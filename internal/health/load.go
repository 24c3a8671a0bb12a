package health

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// Load is what an instance says of its own load, by Open Request Cost Aggregation (ORCA, gRFC A51).
type Load struct {
	Rate        float64 // calls of all callers that it answers in a second
	Errors      float64 // of these, those that fail
	Utilization float64 // 1: all it can take
}

// The numbers of gRFC A58, weighted_round_robin, where they can be set: its defaults.
const (
	loadBlackout = 10 * time.Second // reports must have come for so long before they count
	loadExpiry   = 3 * time.Minute  // nothing reported for so long, and the last word counts no longer
	loadUpdate   = time.Second      // between two times that new reports change weights
	mostCapacity = 10               // times the mean of its peers, and a tenth of it at least, as gRPC's Java balancer bounds it
)

// capacity is what gRFC A58 makes a weight of: calls a second for the whole of the instance, failed ones paid for once
// more; 0: the report says nothing.
func (l Load) capacity() float64 {
	c := l.Rate / (l.Utilization + l.Errors/l.Rate)
	if !(l.Rate > 0 && l.Utilization > 0 && l.Errors >= 0) || math.IsInf(c, 0) || math.IsNaN(c) {
		return 0
	}
	return c
}

// reports is what an endpoint has said of its capacity.
type reports struct {
	mu       sync.Mutex
	capacity float64
	since    time.Duration // they have come without a gap
	last     time.Duration
}

func (r *reports) add(now time.Duration, capacity float64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.capacity == 0 || now-r.last >= loadExpiry {
		r.since = now
	}
	r.capacity, r.last = capacity, now
}

// usable is the capacity that counts now, 0: none does, and when that changes by itself.
func (r *reports) usable(now time.Duration) (capacity float64, until time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case now-r.last >= loadExpiry:
		return 0, time.Duration(never)
	case now-r.since < loadBlackout:
		return 0, r.since + loadBlackout
	}
	return r.capacity, r.last + loadExpiry
}

// Reported takes what the instance at e says of its load. It changes the weights a second later at the latest, with all
// that came meanwhile, by the next pick: nothing runs where nobody reports.
func (s *Set) Reported(now time.Duration, e *Endpoint, l Load) {
	capacity := l.capacity()
	if capacity == 0 {
		return
	}
	r := e.reports.Load()
	if r == nil {
		e.reports.CompareAndSwap(nil, &reports{})
		if r = e.reports.Load(); r == nil { // forgotten at this moment
			return
		}
	}
	r.add(now, capacity)
	soon := int64(now + loadUpdate)
	if due := s.reweigh.Load(); due > soon && s.reweigh.CompareAndSwap(due, soon) {
		s.mu.Lock()
		s.due.Store(min(s.due.Load(), soon))
		s.mu.Unlock()
	}
}

// weigh gives each endpoint its weight. The listed one is the operator's word, and stands: what instances of one listed
// weight report decides among these alone, each in proportion to its capacity over their mean. So a canary of weight 1 stays
// one, and a machine that is listed with twice the weight because it has twice the size does not get four times the
// calls. Who has not reported is taken for the mean. Under mu.
func (s *Set) weigh(all []*Endpoint) {
	if s.reweigh.Load() == never {
		return // nobody has ever reported: the weights are the listed ones
	}
	s.reweigh.Store(never)
	now, next := Now(), time.Duration(never)
	type peers struct{ tier, listed int }
	type sum struct{ capacity, n float64 }
	sums, capacities := map[peers]sum{}, make([]float64, len(all))
	for i, e := range all {
		r := e.reports.Load()
		if r == nil {
			continue
		}
		c, until := r.usable(now)
		next = min(next, until)
		if capacities[i] = c; c > 0 {
			p := peers{e.tier, e.listed()}
			sums[p] = sum{sums[p].capacity + c, sums[p].n + 1}
		}
	}
	for i, e := range all {
		share := 1.0
		if c := capacities[i]; c > 0 {
			sum := sums[peers{e.tier, e.listed()}]
			share = min(max(c*sum.n/sum.capacity, 1.0/mostCapacity), mostCapacity)
		}
		e.weight.set(float64(e.listed()) * share)
	}
	s.reweigh.CompareAndSwap(never, int64(next))
}

// weight is an endpoint's share among its peers.
type weight struct{ bits atomic.Uint32 } // of a float32

func (w *weight) set(v float64) { w.bits.Store(math.Float32bits(float32(v))) }
func (w *weight) get() float64  { return float64(math.Float32frombits(w.bits.Load())) }

// listed is the weight that discovery gave the endpoint.
func (e *Endpoint) listed() int { return max(1, e.Info().Weight) }

// weights are the endpoints' as integers: exact where nobody reports a load, else to a thousandth.
func weights(endpoints []*Endpoint) []int {
	scale := 1.0
	for _, e := range endpoints {
		if w := e.weight.get(); w != math.Trunc(w) {
			scale = 1000
			break
		}
	}
	list := make([]int, len(endpoints))
	for i, e := range endpoints {
		list[i] = max(1, int(math.Round(e.weight.get()*scale)))
	}
	return list
}

// listedWeights are those that only an operator changes: a ring must not turn with each report.
func listedWeights(endpoints []*Endpoint) []int {
	list := make([]int, len(endpoints))
	for i, e := range endpoints {
		list[i] = e.listed()
	}
	return list
}

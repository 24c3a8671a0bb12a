package sim

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/onehop-go/onehop/internal/engine"
)

// log is what a world writes down, in buckets of tenths of a second where it is about servers.
type log struct {
	calls   []entry
	servers map[*Server][]int32 // requests seen, by tenth
	avoided []float64
}

type entry struct {
	at, took time.Duration // at: since the warm time's end
	answer   Answer
}

const tick = 100 * time.Millisecond

func (w *World) record(start time.Time, a Answer) {
	e := entry{at: start.Sub(w.begin), took: time.Since(start), answer: a}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.log.calls = append(w.log.calls, e)
}

func (w *World) count(s *Server) {
	at := int(time.Since(w.begin) / tick)
	if time.Since(w.begin) < 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	ticks := w.log.servers[s]
	for len(ticks) <= at {
		ticks = append(ticks, 0)
	}
	ticks[at]++
	w.log.servers[s] = ticks
}

// Report is what happened after the warm time.
type Report struct {
	Scenario *Scenario
	log      log
	servers  []*Server
}

func (w *World) report() *Report {
	w.mu.Lock()
	defer w.mu.Unlock()
	calls := slices.DeleteFunc(w.log.calls, func(e entry) bool { return e.at < 0 })
	return &Report{Scenario: w.scenario, servers: w.Servers, log: log{calls: calls, servers: w.log.servers, avoided: w.log.avoided}}
}

// Span is the calls that began in [From, To).
type Span struct {
	Calls, OK, Braked int
	Wire              int // requests that servers saw in the time
	P50, P99, P999    time.Duration
	Slow              int // calls that took half a second or longer
	PerServer         []int
}

// All is the whole report.
func (r *Report) All() Span { return r.Span(0, r.Scenario.Duration) }

// Span is what happened from one instant to another.
func (r *Report) Span(from, to time.Duration) Span {
	var s Span
	var took []time.Duration
	for _, e := range r.log.calls {
		if e.at < from || e.at >= to {
			continue
		}
		s.Calls++
		took = append(took, e.took)
		if e.answer.OK() {
			s.OK++
		}
		if e.answer.Reason == engine.Overload {
			s.Braked++
		}
		if e.took >= 500*time.Millisecond {
			s.Slow++
		}
	}
	for _, srv := range r.servers {
		n := 0
		ticks := r.log.servers[srv]
		for i := int(from / tick); i < min(int(to/tick), len(ticks)); i++ {
			n += int(ticks[i])
		}
		s.PerServer = append(s.PerServer, n)
		s.Wire += n
	}
	slices.Sort(took)
	s.P50, s.P99, s.P999 = at(took, 0.5), at(took, 0.99), at(took, 0.999)
	return s
}

// Percentile is the time that a share p of all calls does not exceed.
func (r *Report) Percentile(p float64) time.Duration {
	took := make([]time.Duration, len(r.log.calls))
	for i, e := range r.log.calls {
		took[i] = e.took
	}
	slices.Sort(took)
	return at(took, p)
}

func at(sorted []time.Duration, p float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(p*float64(len(sorted))))]
}

// Share of the calls that got the good answer.
func (s Span) Share() float64 { return float64(s.OK) / float64(max(1, s.Calls)) }

// SlowShare is the share of the calls that took half a second or longer.
func (s Span) SlowShare() float64 { return float64(s.Slow) / float64(max(1, s.Calls)) }

// Amplification is requests on the wire by calls.
func (s Span) Amplification() float64 { return float64(s.Wire) / float64(max(1, s.Calls)) }

// Load is the share of the requests that went to server i.
func (s Span) Load(i int) float64 { return float64(s.PerServer[i]) / float64(max(1, s.Wire)) }

// Spread is the largest deviation of a server's load from the mean, as a share of the mean.
func (s Span) Spread() float64 {
	mean := float64(s.Wire) / float64(len(s.PerServer))
	worst := 0.0
	for _, n := range s.PerServer {
		worst = max(worst, math.Abs(float64(n)-mean)/max(1, mean))
	}
	return worst
}

// Avoided is the mean share of servers that clients avoided.
func (r *Report) Avoided() float64 {
	sum := 0.0
	for _, a := range r.log.avoided {
		sum += a
	}
	return sum / float64(max(1, len(r.log.avoided)))
}

// Recovered is how long after an instant the share of good answers, in each second from then on for five, is at least
// share; a negative time: never.
func (r *Report) Recovered(after time.Duration, share float64) time.Duration {
	const lasting = 5
	row := 0
	for at := after; at+time.Second <= r.Scenario.Duration; at += time.Second {
		if r.Span(at, at+time.Second).Share() < share {
			row = 0
			continue
		}
		if row++; row == lasting {
			return at - after - (lasting-1)*time.Second
		}
	}
	return -1
}

// String is one line of figures.
func (s Span) String() string {
	return fmt.Sprintf("%7d calls  ok %7.3f %%  p50 %6.1f  p99 %7.1f  p99.9 %7.1f ms  wire/call %.4f  spread %3.0f %%  slow %.2f %%  braked %.2f %%",
		s.Calls, 100*s.Share(), millis(s.P50), millis(s.P99), millis(s.P999), s.Amplification(), 100*s.Spread(),
		100*s.SlowShare(), 100*float64(s.Braked)/float64(max(1, s.Calls)))
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

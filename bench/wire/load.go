package wire

import (
	"context"
	"encoding/json"
	"sync"
	"sync/atomic"
	"time"
)

// call makes one call and reads its answer to the end; nil means that it is what it should be.
type call func(ctx context.Context) error

// load is what a generator is asked to do.
type load struct {
	Workers int           // closed loop: so many callers, each with one call at a time
	Rate    int           // open loop: calls a second at fixed moments, whatever became of those before; 0: closed
	For     time.Duration // how long calls are begun
}

// samples are the calls of a load.
type samples struct {
	Began   time.Time       // of the load
	Took    time.Duration   // from then until the last call had ended
	Latency []time.Duration // of every call that was answered well; open loop: of every call, by its place in the schedule
	Failed  []int           // open loop: places in the schedule; closed: -1 for each
	Late    []time.Duration `json:",omitempty"` // open loop: how long after its moment each call was begun, which is in Latency
	Error   string          `json:",omitempty"` // of the first that failed
}

// generator is the load role: one way of calling.
type generator struct{ call call }

func openLoad(setup json.RawMessage) (server, error) {
	var w way
	if err := json.Unmarshal(setup, &w); err != nil {
		return nil, err
	}
	c, err := w.open()
	if err != nil {
		return nil, err
	}
	return &generator{call: c}, c(context.Background()) // the first call also waits for connections and discovery
}

func (g *generator) answer(request json.RawMessage) (any, error) {
	var l load
	if err := json.Unmarshal(request, &l); err != nil {
		return nil, err
	}
	if l.Rate > 0 {
		return openLoop(g.call, l)
	}
	return closedLoop(g.call, l), nil
}

// closedLoop has each worker call again as soon as its last call was answered.
func closedLoop(c call, l load) samples {
	each := make([]samples, l.Workers)
	began := time.Now()
	var wait sync.WaitGroup
	for i := range each {
		wait.Go(func() { each[i].repeat(c, began.Add(l.For)) })
	}
	wait.Wait()
	all := samples{Began: began, Took: time.Since(began)}
	for i := range each {
		all.Latency = append(all.Latency, each[i].Latency...)
		all.Failed = append(all.Failed, each[i].Failed...)
		if all.Error == "" {
			all.Error = each[i].Error
		}
	}
	return all
}

// repeat calls until end.
func (s *samples) repeat(c call, end time.Time) {
	ctx := context.Background()
	for now := time.Now(); now.Before(end); {
		err := c(ctx)
		after := time.Now()
		if err == nil {
			s.Latency = append(s.Latency, after.Sub(now))
		} else {
			s.fail(-1, err)
		}
		now = after
	}
}

func (s *samples) fail(place int, err error) {
	s.Failed = append(s.Failed, place)
	if s.Error == "" {
		s.Error = err.Error()
	}
}

// openLoop begins the calls at fixed moments, and measures each from the moment it was due: a call that waits because
// those before it were slow has waited, and its latency says so. A generator that measures from when it got round to
// the call omits just the worst ones ("coordinated omission").
func openLoop(c call, l load) (samples, error) {
	interval := time.Second / time.Duration(l.Rate)
	total := int(l.For / interval)
	s := samples{Latency: make([]time.Duration, total), Late: make([]time.Duration, total)}
	errs := make([]error, total)
	t, err := newTicker(interval)
	if err != nil {
		return s, err
	}
	defer t.stop()
	s.Began = t.began
	var wait sync.WaitGroup
	for next := 0; next < total; {
		due, err := t.wait()
		if err != nil {
			return s, err
		}
		for end := min(total, due); next < end; next++ {
			place, moment := next, s.Began.Add(time.Duration(next+1)*interval)
			wait.Go(func() {
				s.Late[place] = time.Since(moment)
				errs[place] = c(context.Background())
				s.Latency[place] = time.Since(moment)
			})
		}
	}
	wait.Wait()
	s.Took = time.Since(s.Began)
	for place, err := range errs {
		if err != nil {
			s.fail(place, err)
		}
	}
	return s, nil
}

// turns hands out 0 to n-1 in turn.
type turns struct {
	n    uint64
	last atomic.Uint64
}

func (t *turns) next() int { return int(t.last.Add(1) % t.n) }

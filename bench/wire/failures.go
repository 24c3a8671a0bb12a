package wire

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"
)

// failure is what happens to one of ten instances.
type failure struct {
	name    string
	file    string // of its plot
	fault   *fault // nil: its process is killed
	retried bool   // by onehop's defaults: no call needs to fail
}

// failing are the failures. The instance stays in every list, and the page that a health check asks for stays well: a
// check that notices is the easy case, and nobody would be told apart by it.
var failing = []failure{
	{name: "takes 100 ms longer", file: "slow", fault: &fault{Delay: 100 * time.Millisecond}},
	{name: "is killed", file: "killed", retried: true},
	{name: "answers 503 at once", file: "503", fault: &fault{Status: http.StatusServiceUnavailable}, retried: true},
	{name: "answers 500 at once", file: "500", fault: &fault{Status: http.StatusInternalServerError}},
}

// failurePaths are compared.
var failurePaths = []pathKind{
	{name: directHTTP, by: byNetHTTP},
	{name: throughHop, by: byOnehop},
	{name: "failsafe-go", by: byFailsafe},
	{name: "kratos p2c", by: byKratos},
	{name: "haproxy, health checks", by: byNetHTTP, proxy: &haproxy},
}

const (
	failureRate      = 1000 // calls a second
	failureInstances = 10
	watched          = 2 * time.Second // after the failure
)

// trial is how one path fared in one failure in one round.
type trial struct {
	calls     int           // that were due after the failure
	failed    int           // of the whole load: none fails before
	first     string        // what the first of them was told
	last      time.Duration // when the last call that failed was due, from the failure on; 0: none failed
	p99, p999 time.Duration // of the calls that were due after it and were answered well

	reached int64         // calls that reached the instance afterwards, retries too; 0 where it is dead and has no ledger
	alone   time.Duration // it was left alone from here on: the last 100 ms in which it got more than a tenth of its share end here
}

// trials are the rounds of each path in each failure.
type trials map[trialKey][]*trial

type trialKey struct{ path, failure string }

// suffer puts every path through every failure, in rounds.
func suffer(ctx context.Context, c *config) (*cast, trials, error) {
	f, err := startFleet(ctx, failureInstances)
	defer f.stop()
	if err != nil {
		return nil, nil, err
	}
	here := found(ctx, c, failurePaths)
	all := trials{}
	o := &opening{addrs: f.http(), programs: here.programs, checks: true, progress: c}
	for round := range c.rounds {
		for _, what := range failing {
			c.Log("1 of %d instances: round %d of %d, %s", failureInstances, round+1, c.rounds, what.name)
			for i := range here.kinds {
				k := &here.kinds[(round+i)%len(here.kinds)]
				t, err := k.inTime(ctx, c, o, f, &what)
				if err != nil {
					return nil, nil, fmt.Errorf("%s, %s: %w", k.name, what.name, err)
				}
				if t.failed > 0 {
					c.Log("%s, %s: %d calls failed, the first: %s", k.name, what.name, t.failed, t.first)
				}
				key := trialKey{k.name, what.name}
				all[key] = append(all[key], t)
			}
		}
	}
	return here, all, nil
}

// inTime is a trial in which the instance was bad for at least half of the time it was to be watched. On a busy machine it
// may go bad too late, even after the load: then the trial is repeated, longer.
func (k *pathKind) inTime(ctx context.Context, c *config, o *opening, f fleet, what *failure) (*trial, error) {
	for after := c.scaled(watched); ; after *= 2 {
		t, bad, err := k.suffer(ctx, o, f, what, c.scaled(300*time.Millisecond), after)
		if err != nil || bad >= after/2 {
			return t, err
		}
		c.Log("%s, %s: the machine was busy, once more", k.name, what.name)
	}
}

// suffer is one trial, by a caller that is new to the instances, so that it knows nothing of earlier trials. It also
// returns how long the instance was bad while calls were due.
func (k *pathKind) suffer(ctx context.Context, o *opening, f fleet, what *failure, lead, after time.Duration) (t *trial, bad time.Duration, err error) {
	p, err := k.open(ctx, o)
	defer p.stop()
	if err != nil {
		return nil, 0, err
	}
	if err := p.generator.do(ctx, load{Rate: failureRate, For: lead}, nil); err != nil {
		return nil, 0, err
	}
	last := f[len(f)-1]
	defer func() { err = errors.Join(err, last.restart(ctx)) }()
	broke := make(chan breakage, 1)
	go func() { broke <- last.breaks(ctx, lead, what.fault) }()
	var s samples
	err = p.generator.do(ctx, load{Rate: failureRate, For: lead + after}, &s)
	b := <-broke
	if err = errors.Join(err, b.err); err != nil {
		return nil, 0, err
	}
	t, bad = newTrial(&s, b.from), s.Began.Add(lead+after).Sub(b.to)
	if what.fault == nil {
		return t, bad, nil
	}
	return t, bad, t.read(ctx, last)
}

// breakage is the time in which an instance broke.
type breakage struct {
	from, to time.Time
	err      error
}

// breaks makes the instance fail after a while.
func (i *instance) breaks(ctx context.Context, after time.Duration, what *fault) breakage {
	select {
	case <-time.After(after):
	case <-ctx.Done():
		return breakage{err: ctx.Err()}
	}
	b := breakage{from: time.Now()}
	if what == nil {
		b.err = i.kill()
	} else {
		b.err = i.do(ctx, echoRequest{Fault: what}, nil)
	}
	b.to = time.Now()
	return b
}

// newTrial judges the calls that were due after the failure.
func newTrial(s *samples, broke time.Time) *trial {
	interval := time.Second / failureRate
	first := min(len(s.Latency), max(0, int(broke.Sub(s.Began)/interval))) // place i is due i+1 intervals after the beginning
	t := &trial{calls: len(s.Latency) - first, failed: len(s.Failed), first: s.Error}
	failed := map[int]bool{}
	for _, place := range s.Failed {
		failed[place] = true
		t.last = max(t.last, s.Began.Add(time.Duration(place+1)*interval).Sub(broke))
	}
	var well []time.Duration
	for place := first; place < len(s.Latency); place++ {
		if !failed[place] {
			well = append(well, s.Latency[place])
		}
	}
	slices.Sort(well)
	t.p99, t.p999 = percentile(well, 0.99), percentile(well, 0.999)
	return t
}

// read takes the instance's own word on how long it was called.
func (t *trial) read(ctx context.Context, i *instance) error {
	var ledger []int64
	if err := i.do(ctx, echoRequest{}, &ledger); err != nil {
		return err
	}
	t.judge(ledger)
	return nil
}

// judge finds the last slot of the ledger in which the instance got more than a tenth of its share.
func (t *trial) judge(ledger []int64) {
	const share = int64(failureRate / failureInstances * slot / time.Second)
	for n, calls := range ledger {
		t.reached += calls
		if calls > share/10 {
			t.alone = time.Duration(n+1) * slot
		}
	}
}

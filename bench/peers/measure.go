package peers

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"
)

// cost is what one call took: nanoseconds, bytes and allocations of the whole process by the number of its calls.
type cost struct {
	wall, cpu, bytes, allocs float64
}

// plan says how much is measured. A round is a number of turns of each candidate, all interleaved; of each figure the
// median of the turns is the round's.
type plan struct {
	rounds, turns, calls int // calls a turn, of all goroutines together
}

// measured are the rounds of each candidate.
type measured struct {
	group  group
	rounds [][]cost // by candidate
}

// compare measures all candidates at each GOMAXPROCS, with as many goroutines. It leaves GOMAXPROCS as it was.
func compare(ctx context.Context, g group, procs []int, p plan) ([]measured, error) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	all := make([]measured, len(procs))
	for i := range all {
		all[i] = measured{group: g, rounds: make([][]cost, len(g))}
	}
	for r := range p.rounds {
		for i, n := range procs {
			runtime.GOMAXPROCS(n)
			if err := all[i].round(ctx, r, n, p); err != nil {
				return nil, err
			}
		}
	}
	return all, nil
}

func (m *measured) round(ctx context.Context, r, n int, p plan) error {
	turns := make([][]cost, len(m.group))
	for range p.turns {
		for k := range m.group {
			if err := ctx.Err(); err != nil {
				return err
			}
			i := (k + r) % len(m.group) // nobody is the first in all rounds
			c, err := turn(m.group[i], n, p.calls)
			if err != nil {
				return fmt.Errorf("peers: %s: %w", m.group[i].Name, err)
			}
			turns[i] = append(turns[i], c)
		}
	}
	for i := range m.group {
		m.rounds[i] = append(m.rounds[i], middle(turns[i]))
	}
	return nil
}

// turn makes the calls on n goroutines.
func turn(c Candidate, n, calls int) (cost, error) {
	callers := make([]func() error, n)
	errs := make([]error, n)
	for i := range callers {
		callers[i] = c.Caller()
		if errs[i] = callers[i](); errs[i] != nil { // warm
			return cost{}, errs[i]
		}
	}
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	cpu, began := processCPU(), time.Now()
	var wg sync.WaitGroup
	for i, call := range callers {
		wg.Go(func() { errs[i] = repeat(call, calls/n) })
	}
	wg.Wait()
	wall, used := time.Since(began), processCPU()-cpu
	runtime.ReadMemStats(&after)
	share := 1 / float64(calls/n*n)
	return cost{
		wall: float64(wall) * share, cpu: float64(used) * share,
		bytes: float64(after.TotalAlloc-before.TotalAlloc) * share, allocs: float64(after.Mallocs-before.Mallocs) * share,
	}, firstError(errs)
}

func repeat(call func() error, n int) error {
	for range n {
		if err := call(); err != nil {
			return err
		}
	}
	return nil
}

func firstError(errs []error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func middle(turns []cost) cost {
	of := func(get func(cost) float64) float64 {
		x := each(turns, get)
		slices.Sort(x)
		return x[len(x)/2]
	}
	return cost{wall: of(wallTime), cpu: of(cpuTime), bytes: of(allBytes), allocs: of(allocations)}
}

func wallTime(c cost) float64    { return c.wall }
func cpuTime(c cost) float64     { return c.cpu }
func allBytes(c cost) float64    { return c.bytes }
func allocations(c cost) float64 { return c.allocs }

// of returns what get reads from each round of the candidate.
func (m measured) of(name string, get func(cost) float64) []float64 {
	i := slices.IndexFunc(m.group, func(c Candidate) bool { return c.Name == name })
	return each(m.rounds[i], get)
}

// added is what the candidate costs above the group's first one.
func (m measured) added(name string, get func(cost) float64) []float64 {
	return combine(m.of(name, get), m.of(m.group[0].Name, get), func(x, base float64) float64 { return x - base })
}

// combine joins the figures of the same rounds.
func combine(a, b []float64, f func(a, b float64) float64) []float64 {
	x := make([]float64, len(a))
	for i := range x {
		x[i] = f(a[i], b[i])
	}
	return x
}

func each(costs []cost, get func(cost) float64) []float64 {
	x := make([]float64, len(costs))
	for i, c := range costs {
		x[i] = get(c)
	}
	return x
}

// processCPU is the time all threads of this process have run, in user and kernel mode.
func processCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err) // only for a bad argument
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

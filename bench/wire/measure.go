package wire

import (
	"context"
	"time"
)

// cell is one way under one load in one round.
type cell struct {
	samples

	cpu    cpuShare
	memory memoryShare
}

// cpuShare is the CPU time of a load by who spent it.
type cpuShare struct{ generator, between, instances time.Duration }

func callerCPU(c cpuShare) time.Duration    { return c.generator }
func betweenCPU(c cpuShare) time.Duration   { return c.between }
func instancesCPU(c cpuShare) time.Duration { return c.instances }

func (c cpuShare) total() time.Duration { return c.generator + c.between + c.instances }

// memoryShare is the memory after a load, in bytes, by who holds it.
type memoryShare struct{ generator, between int64 }

func callerMemory(m memoryShare) int64  { return m.generator }
func betweenMemory(m memoryShare) int64 { return m.between }

// measure puts l on p. A short load before it opens the connections that l needs, and is not counted.
func measure(ctx context.Context, p *path, f fleet, l load, warm time.Duration) (*cell, error) {
	if err := p.generator.do(ctx, load{Workers: l.Workers, Rate: l.Rate, For: warm}, nil); err != nil {
		return nil, err
	}
	before, err := p.cpu(f)
	if err != nil {
		return nil, err
	}
	var c cell
	if err := p.generator.do(ctx, l, &c.samples); err != nil {
		return nil, err
	}
	after, err := p.cpu(f)
	if err != nil {
		return nil, err
	}
	c.cpu = cpuShare{after.generator - before.generator, after.between - before.between, after.instances - before.instances}
	if c.memory.generator, err = memoryOf(p.generator.pids()); err != nil {
		return nil, err
	}
	c.memory.between, err = memoryOf(p.between())
	return &c, err
}

// cpu is what all processes of the way have computed so far.
func (p *path) cpu(f fleet) (c cpuShare, err error) {
	for _, part := range []struct {
		total *time.Duration
		pids  []int
	}{{&c.generator, p.generator.pids()}, {&c.between, p.between()}, {&c.instances, f.pids()}} {
		if *part.total, err = cpuOf(part.pids); err != nil {
			return c, err
		}
	}
	return c, nil
}

// perSecond is the throughput.
func (s *samples) perSecond() float64 { return float64(len(s.Latency)) / s.Took.Seconds() }

// calls is how many were made, well or not.
func (s *samples) calls(l load) int {
	if l.Rate > 0 {
		return len(s.Latency)
	}
	return len(s.Latency) + len(s.Failed)
}

// percentile is the latency that a share q of the calls do not exceed: exact, since every sample is kept. sorted is in
// order; without samples it is 0.
func percentile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

package sim

import (
	"container/heap"
	"sync"
	"time"
)

// sharing is a server's cores under processor sharing: every request that is there runs, each at the same speed, and the
// more there are the slower all become. It is what threads and goroutines do, where a queue with workers is a pool. Nobody
// waits behind a long request, and overload shows in every answer at once.
type sharing struct {
	mu    sync.Mutex
	cores float64
	speed float64 // of a core, 1 is normal
	done  float64 // seconds of work that a request got which was there all along
	at    time.Time
	jobs  portions
	timer *time.Timer
}

// portion is a request under way: it is served when done has reached until.
type portion struct {
	until float64
	ready func()
}

func newSharing(cores int) *sharing {
	return &sharing{cores: float64(cores), speed: 1, at: time.Now()}
}

// add begins a request; ready is called when it is served.
func (s *sharing) add(needs time.Duration, ready func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.advance()
	heap.Push(&s.jobs, portion{s.done + needs.Seconds(), ready})
	s.arm()
}

// pace changes the speed of the cores, for those under way as well.
func (s *sharing) pace(speed float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.advance()
	s.speed = speed
	s.arm()
}

// rate is the seconds of work that each request gets in one second.
func (s *sharing) rate() float64 {
	return s.speed * min(1, s.cores/float64(max(1, len(s.jobs))))
}

// advance brings the work up to the present.
func (s *sharing) advance() {
	now := time.Now()
	s.done += s.rate() * now.Sub(s.at).Seconds()
	s.at = now
}

// arm waits for the next request to be served. A timer's whole nanoseconds must not make it wait for less than one.
func (s *sharing) arm() {
	if s.timer != nil {
		s.timer.Stop()
	}
	if len(s.jobs) == 0 {
		return
	}
	wait := (s.jobs[0].until - s.done) / s.rate()
	s.timer = time.AfterFunc(max(1, time.Duration(wait*float64(time.Second))), s.serve)
}

func (s *sharing) serve() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.advance()
	const rounding = 1e-8 // seconds
	for len(s.jobs) > 0 && s.jobs[0].until <= s.done+rounding {
		heap.Pop(&s.jobs).(portion).ready() //nolint:forcetypeassert // it holds no other
	}
	s.arm()
}

// portions is a heap by the work at which they are served.
type portions []portion

// Len implements heap.Interface.
func (p *portions) Len() int { return len(*p) }

// Less implements heap.Interface.
func (p *portions) Less(i, j int) bool { return (*p)[i].until < (*p)[j].until }

// Swap implements heap.Interface.
func (p *portions) Swap(i, j int) { (*p)[i], (*p)[j] = (*p)[j], (*p)[i] }

// Push implements heap.Interface.
func (p *portions) Push(x any) { *p = append(*p, x.(portion)) } //nolint:forcetypeassert // it holds no other

// Pop implements heap.Interface.
func (p *portions) Pop() any {
	last := len(*p) - 1
	x := (*p)[last]
	*p = (*p)[:last]
	return x
}

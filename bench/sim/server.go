package sim

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// Server is one instance of the service. Without workers each request takes its own time beside the others. With them
// requests wait in one queue, first in first out, or share the workers, and a caller that gives up is served all the same:
// the work of a server that does not notice cancels is what keeps an overload alive after its trigger is gone.
type Server struct {
	Addr   string
	Weight int                              // of the catalogue; 0 is 1
	Time   func(r *rand.Rand) time.Duration // a request needs; of a worker or of nobody
	// Fault, when not nil, decides a request without serving it: the status and the time until it is sent.
	Fault func(r *rand.Rand) (status int, after time.Duration, hit bool)

	world   *World
	workers int
	queue   chan *job
	shared  *sharing      // nil: there is a queue
	speed   atomic.Uint64 // of the workers, in thousandths
	state   atomic.Int32
	life    atomic.Pointer[life]
	seen    atomic.Int64 // requests
}

// life is one incarnation; it ends when the server is killed, and with it all its connections.
type life struct{ over chan struct{} }

type job struct {
	needs time.Duration
	done  chan struct{}
}

// HeavyPath is what some calls ask for that legitimately takes longer.
const HeavyPath = "/heavy"

// The states of a server, as a dial finds them.
const (
	up        int32 = iota
	refusing        // answers a dial by a reset
	blackhole       // answers nothing
)

func newServer(w *World, addr string) *Server {
	s := &Server{Addr: addr, world: w, workers: w.scenario.Workers}
	s.Time = func(*rand.Rand) time.Duration { return 20 * time.Millisecond }
	s.speed.Store(1000)
	s.life.Store(&life{make(chan struct{})})
	switch {
	case s.workers == 0:
	case w.scenario.Sharing:
		s.shared = newSharing(s.workers)
	default:
		s.queue = make(chan *job, 1<<20)
	}
	return s
}

// Kill ends all connections; dials are refused from now on.
func (s *Server) Kill() { s.end(refusing) }

// Vanish lets the host disappear: dials are never answered, and neither is what travels on connections.
func (s *Server) Vanish() { s.state.Store(blackhole) }

// Restart lets a killed server answer again.
func (s *Server) Restart() { s.state.Store(up) }

// Slow sets the speed of the workers, 1 is normal.
func (s *Server) Slow(speed float64) {
	s.speed.Store(uint64(speed * 1000))
	if s.shared != nil {
		s.shared.pace(speed)
	}
}

func (s *Server) end(state int32) {
	s.state.Store(state)
	close(s.life.Swap(&life{make(chan struct{})}).over)
}

// Paused stops the server for a while in every period, as a garbage collection does: what arrives meanwhile waits. It
// begins offset earlier than the period.
func (s *Server) Paused(every, pause, offset time.Duration) {
	needs := s.Time
	s.Time = func(r *rand.Rand) time.Duration {
		at := (s.world.Since() + offset) % every
		if at < 0 {
			at += every
		}
		return needs(r) + max(0, pause-at)
	}
}

// work runs the workers of a queue until the world ends.
func (s *Server) work(end <-chan struct{}, all *sync.WaitGroup) {
	if s.queue == nil {
		return
	}
	for range s.workers {
		all.Go(func() {
			for {
				select {
				case j := <-s.queue:
					time.Sleep(j.needs * 1000 / time.Duration(s.speed.Load()))
					close(j.done)
				case <-end:
					return
				}
			}
		})
	}
}

// serve begins a request. done is closed when its answer is there.
func (s *Server) serve(path string) (status int, done <-chan struct{}) {
	s.seen.Add(1)
	s.world.count(s)
	if f := s.Fault; f != nil {
		if status, after, hit := f(s.world.random()); hit {
			return status, closedAfter(after)
		}
	}
	needs := s.Time(s.world.random())
	if path == HeavyPath {
		needs = s.world.scenario.long(needs)
	}
	if s.workers == 0 {
		return 200, closedAfter(needs)
	}
	j := &job{needs: needs, done: make(chan struct{})}
	if s.shared != nil {
		s.shared.add(needs, func() { close(j.done) })
	} else {
		s.queue <- j
	}
	return 200, j.done
}

func closedAfter(d time.Duration) <-chan struct{} {
	c := make(chan struct{})
	time.AfterFunc(d, func() { close(c) })
	return c
}

package sim

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onehop-go/onehop/resolver"
)

// Scenario is a service, its callers and what goes wrong.
type Scenario struct {
	Name     string
	Servers  int
	Workers  int     // of each server; 0: no queue, requests take their time beside one another
	Clients  int     // processes, each with health, budget and brake of its own
	Rate     float64 // calls a second of all clients together, at random (Poisson)
	Warm     time.Duration
	Duration time.Duration // after Warm; what the report is about
	Deadline time.Duration // of the caller for each call; 0: none
	Setup    func(w *World)
	Events   []Event
}

// Event is something that happens at an instant after the warm time.
type Event struct {
	At time.Duration
	Do func(w *World)
}

// World is a scenario under way.
type World struct {
	Servers []*Server
	Clients []Client

	byAddr   map[string]*Server
	scenario *Scenario
	begin    time.Time // the warm time is over
	end      chan struct{}

	mu   sync.Mutex
	rand *rand.Rand
	log  log
}

// Seed of the arrivals and of the service times. The engine's own draws are not seeded: figures vary a little from run
// to run.
const seed = 42

// Run plays s with clients made by maker.
func Run(t *testing.T, s Scenario, maker Maker) *Report {
	var r *Report
	synctest.Test(t, func(*testing.T) {
		w := newWorld(&s)
		for range s.Clients {
			w.Clients = append(w.Clients, maker(w))
		}
		r = w.play()
	})
	return r
}

func newWorld(s *Scenario) *World {
	w := &World{scenario: s, byAddr: map[string]*Server{}, end: make(chan struct{}), rand: rand.New(rand.NewPCG(seed, seed))}
	for i := range s.Servers {
		w.Add(fmt.Sprintf("s%d:80", i))
	}
	if s.Setup != nil {
		s.Setup(w)
	}
	return w
}

// Add adds a server. Clients learn of it by Publish.
func (w *World) Add(addr string) *Server {
	s := newServer(w, addr, w.scenario.Workers)
	w.Servers = append(w.Servers, s)
	w.byAddr[addr] = s
	return s
}

func (w *World) endpoints() []resolver.Endpoint {
	list := make([]resolver.Endpoint, len(w.Servers))
	for i, s := range w.Servers {
		list[i] = resolver.Endpoint{Addr: s.Addr}
	}
	return list
}

// random is a source for one draw or a few: seeded by the world's, so that runs are alike.
func (w *World) random() *rand.Rand {
	w.mu.Lock()
	defer w.mu.Unlock()
	return rand.New(rand.NewPCG(w.rand.Uint64(), seed))
}

func (w *World) play() *Report {
	w.begin = time.Now().Add(w.scenario.Warm)
	w.log.servers = make(map[*Server][]int32, len(w.Servers))
	var servers, calls, rest sync.WaitGroup
	for _, s := range w.Servers {
		s.work(w.end, &servers)
	}
	for _, e := range w.scenario.Events {
		rest.Go(func() {
			time.Sleep(w.scenario.Warm + e.At)
			e.Do(w)
		})
	}
	rest.Go(w.watch)
	w.arrive(&calls)
	calls.Wait()
	rest.Wait()
	for _, c := range w.Clients {
		c.Close()
	}
	close(w.end)
	servers.Wait()
	time.Sleep(time.Hour) // answers that nobody waits for
	return w.report()
}

// arrive begins calls at random instants until the scenario's end.
func (w *World) arrive(calls *sync.WaitGroup) {
	r := w.random()
	end := w.begin.Add(w.scenario.Duration)
	for {
		time.Sleep(time.Duration(r.ExpFloat64() / w.scenario.Rate * float64(time.Second)))
		if time.Now().After(end) {
			return
		}
		c := w.Clients[r.IntN(len(w.Clients))]
		calls.Go(func() { w.call(c) })
	}
}

func (w *World) call(c Client) {
	ctx, start := context.Background(), time.Now()
	if d := w.scenario.Deadline; d > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d)
		defer cancel()
	}
	a := c.Call(ctx)
	w.record(start, a)
}

// watch samples what the clients avoid.
func (w *World) watch() {
	time.Sleep(w.scenario.Warm)
	for range int(w.scenario.Duration / sampleEvery) {
		time.Sleep(sampleEvery)
		n := 0
		for _, c := range w.Clients {
			n += c.Avoided()
		}
		w.mu.Lock()
		w.log.avoided = append(w.log.avoided, float64(n)/float64(len(w.Clients)*len(w.Servers)))
		w.mu.Unlock()
	}
}

const sampleEvery = 500 * time.Millisecond

package sim

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Scenario is a service, its callers and what goes wrong.
type Scenario struct {
	Name     string
	Servers  int
	Workers  int     // of each server; 0: no queue, requests take their time beside one another
	Sharing  bool    // requests share the workers, in place of a queue
	Clients  int     // processes, each with health, budget and brake of its own
	Rate     float64 // calls a second of all clients together, at random (Poisson)
	Warm     time.Duration
	Duration time.Duration // after Warm; what the report is about
	Heavy    float64       // share of the calls that ask for HeavyPath
	Longer   float64       // a heavy call takes so many times as long as another
	Keys     int           // calls are for one of so many keys, each as often; 0: for none
	Deadline time.Duration // of the caller for each call; 0: none
	Attempt  time.Duration // attempt_timeout of rivals; the engine has it from its policy
	Over     time.Duration // the trouble's end, after the warm time; 0: it has none
	Setup    func(w *World)
	Events   []Event
}

func (s *Scenario) long(needs time.Duration) time.Duration {
	return time.Duration(s.Longer * float64(needs))
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

	scenario *Scenario
	begin    time.Time // the warm time is over
	end      chan struct{}
	working  sync.WaitGroup

	mu     sync.Mutex
	byAddr map[string]*Server
	listed []*Server // what discovery says
	rand   *rand.Rand
	log    log
}

// Seed of the arrivals and of the service times. The engine's own draws are not seeded: figures vary a little from run
// to run.
const seed = 42

// Run plays s with clients made by maker.
func Run(t *testing.T, s Scenario, maker Maker) *Report {
	t.Helper()
	var r *Report
	synctest.Test(t, func(*testing.T) {
		w := newWorld(&s)
		w.begin = time.Now().Add(s.Warm)
		for range s.Clients {
			w.Clients = append(w.Clients, maker(w))
		}
		r = w.play()
	})
	return r
}

func newWorld(s *Scenario) *World {
	w := &World{scenario: s, byAddr: map[string]*Server{}, end: make(chan struct{}), rand: rand.New(rand.NewPCG(seed, seed))}
	w.log.servers = map[*Server][]int32{}
	for i := range s.Servers {
		w.Add(fmt.Sprintf("s%d:80", i))
	}
	if s.Setup != nil {
		s.Setup(w)
	}
	return w
}

// Add starts a server and lists it.
func (w *World) Add(addr string) *Server {
	s := newServer(w, addr)
	s.work(w.end, &w.working)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.Servers = append(w.Servers, s)
	w.byAddr[addr] = s
	w.listed = append(slices.Clone(w.listed), s)
	return s
}

// Remove takes a server off the list; it goes on serving.
func (w *World) Remove(s *Server) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.listed = slices.DeleteFunc(slices.Clone(w.listed), func(x *Server) bool { return x == s })
}

// Publish tells all clients what is listed now.
func (w *World) Publish() {
	for _, c := range w.Clients {
		c.Update(w.Listed())
	}
}

// Listed is what discovery says. Never write to it.
func (w *World) Listed() []*Server {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.listed
}

// Since is how long ago the warm time ended; negative before.
func (w *World) Since() time.Duration { return time.Since(w.begin) }

func (w *World) server(addr string) *Server {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.byAddr[addr]
}

// random is a source for one draw or a few: seeded by the world's, so that runs are alike.
func (w *World) random() *rand.Rand {
	w.mu.Lock()
	defer w.mu.Unlock()
	return rand.New(rand.NewPCG(w.rand.Uint64(), seed))
}

func (w *World) play() *Report {
	var calls, rest sync.WaitGroup
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
	w.working.Wait()
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
		path := w.scenario.path(r)
		calls.Go(func() { w.call(c, path) })
	}
}

// path is what a call asks for.
func (s *Scenario) path(r *rand.Rand) string {
	switch {
	case s.Heavy > 0 && r.Float64() < s.Heavy:
		return HeavyPath
	case s.Keys > 0:
		return fmt.Sprint("/", r.IntN(s.Keys))
	}
	return "/"
}

func (w *World) call(c Client, path string) {
	ctx, start := context.Background(), time.Now()
	if d := w.scenario.Deadline; d > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d)
		defer cancel()
	}
	a := c.Call(ctx, path)
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

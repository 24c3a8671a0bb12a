package main

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/onehop-go/onehop"
	"github.com/onehop-go/onehop/internal/consultest"
)

// environment is what a user of the example sets, and a disk cache that is no other test's.
func environment(t *testing.T) *consultest.Agent {
	t.Helper()
	agent := consultest.Start(t)
	t.Setenv("CONSUL_HTTP_ADDR", agent.Addr)
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	return agent
}

// cache starts three servers and registers them under the name it returns.
func cache(t *testing.T) (name string, servers []*server) {
	t.Helper()
	agent := environment(t)
	name = consultest.Name(t, "cache")
	for range 3 {
		s := startServer(t)
		agent.Register(t, consultest.Service{Name: name, Port: s.port})
		servers = append(servers, s)
	}
	return name, servers
}

// load reads from several goroutines at once, without a pause and until told to end.
type load struct {
	read func() (string, error)

	stop    atomic.Bool
	workers sync.WaitGroup
	mu      sync.Mutex
	answers map[string]int // by the server that answered, since the last kill
	errs    []error
}

// workers is how many commands are on their way at any time.
const workers = 6

func startLoad(t *testing.T, read func() (string, error)) *load {
	t.Helper()
	l := &load{read: read, answers: map[string]int{}}
	t.Cleanup(l.end)
	for range workers {
		l.workers.Go(func() {
			for !l.stop.Load() {
				l.count(l.read())
			}
		})
	}
	return l
}

func (l *load) end() {
	l.stop.Store(true)
	l.workers.Wait()
}

func (l *load) count(server string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.errs = append(l.errs, err)
		return
	}
	l.answers[server]++
}

// until waits until so many commands were answered, by so many servers at least, or one has failed.
func (l *load) until(t *testing.T, commands, servers int) {
	t.Helper()
	consultest.Until(t, fmt.Sprintf("%d commands answered by %d servers", commands, servers), func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		all := 0
		for _, n := range l.answers {
			all += n
		}
		return len(l.errs) > 0 || all >= commands && len(l.answers) >= servers
	})
}

// busiest returns the server that has answered most.
func (l *load) busiest(servers []*server) *server {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.MaxFunc(servers, func(a, b *server) int { return l.answers[a.addr] - l.answers[b.addr] })
}

func (l *load) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.answers)
}

// The server with most of the commands is killed under the load, and still listed as passing: no command fails. It comes
// back, and gets connections again.
func TestCommandsSurviveTheKillOfAServer(t *testing.T) {
	name, servers := cache(t)
	hop, err := onehop.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = hop.Close() })
	client := open(hop, name+":6379")
	t.Cleanup(func() { _ = client.Close() })
	l := startLoad(t, func() (string, error) { return client.Get(t.Context(), key).Result() })
	l.until(t, 1000, 2)
	victim := l.busiest(servers)
	victim.kill(t)
	l.forget()
	l.until(t, 1000, 1)
	l.end()
	for _, err := range l.errs {
		t.Errorf("a command failed: %v", err)
	}
	if n := l.answers[victim.addr]; n > workers { // what it answered before may be counted after
		t.Errorf("%s answered %d commands after its kill", victim.addr, n)
	}
	t.Logf("after the kill of %s answered: %v", victim.addr, l.answers)

	victim.start(t)
	consultest.Until(t, victim.addr+" gets connections again", func() bool { return answersOnce(t, hop, name, victim.addr) })
}

// answersOnce opens a connection, as a pool does that grows, and says whether it reaches server.
func answersOnce(t *testing.T, hop *onehop.Client, name, server string) bool {
	t.Helper()
	client := open(hop, name+":6379")
	defer client.Close() //nolint:errcheck // its connections are done with
	got, err := client.Get(t.Context(), key).Result()
	if err != nil {
		t.Errorf("a command failed: %v", err)
	}
	return got == server
}

func TestExampleFindsTheLivingServer(t *testing.T) {
	name, servers := cache(t)
	servers[0].kill(t)
	servers[1].kill(t)
	var out strings.Builder
	if err := run(t.Context(), name+":6379", key, &out); err != nil {
		t.Fatal(err)
	}
	if want := strings.Repeat(servers[2].addr+"\n", 3); out.String() != want {
		t.Errorf("printed %q, want %q", out.String(), want)
	}
}

func TestExampleSaysThatNobodyIsThere(t *testing.T) {
	environment(t)
	name := consultest.Name(t, "nowhere")
	err := run(t.Context(), name+":6379", key, new(strings.Builder))
	if onehop.ReasonOf(err) != onehop.ReasonNoEndpoints || !strings.Contains(err.Error(), name) {
		t.Errorf("error %v, want no_endpoints of %s", err, name)
	}
}

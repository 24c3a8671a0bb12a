//go:build unix

package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/onehop-go/onehop"
	"github.com/onehop-go/onehop/internal/consultest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// environment is what a user of the example sets, and a disk cache that is no other test's.
func environment(t *testing.T) *consultest.Agent {
	t.Helper()
	agent := consultest.Start(t)
	t.Setenv("CONSUL_HTTP_ADDR", agent.Addr)
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	return agent
}

// ledger starts three servers, registers them, and returns the DSN that names them.
func ledger(t *testing.T) (dsn string, servers []*server) {
	t.Helper()
	binaries := findBinaries(t)
	agent := environment(t)
	name := consultest.Name(t, "ledger")
	for range 3 {
		s := startServer(t, binaries)
		port, err := strconv.Atoi(s.port)
		if err != nil {
			t.Fatal(err)
		}
		agent.Register(t, consultest.Service{Name: name, Port: port})
		servers = append(servers, s)
	}
	return fmt.Sprintf("postgres://onehop@%s/postgres?sslmode=disable&pool_max_conns=6", name), servers
}

// load asks who answers from several goroutines at once, without a pause and until told to stop.
type load struct {
	read func() (string, error)

	stop    atomic.Bool
	workers sync.WaitGroup
	mu      sync.Mutex
	answers map[string]int // by the port that answered, since the last kill
	errs    []error
}

// workers is how many queries are on their way at any time.
const workers = 4

func startLoad(t *testing.T, read func() (string, error)) *load {
	t.Helper()
	l := &load{read: read, answers: map[string]int{}}
	t.Cleanup(l.end)
	for range workers {
		l.workers.Go(func() {
			for !l.stop.Load() {
				port, err := l.read()
				l.count(port, err)
			}
		})
	}
	return l
}

func (l *load) end() {
	l.stop.Store(true)
	l.workers.Wait()
}

func (l *load) count(port string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.errs = append(l.errs, err)
		return
	}
	l.answers[port]++
}

// until waits until so many queries were answered, by so many servers at least, or one has failed.
func (l *load) until(t *testing.T, queries, servers int) {
	t.Helper()
	consultest.Until(t, fmt.Sprintf("%d queries answered by %d servers", queries, servers), func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		all := 0
		for _, n := range l.answers {
			all += n
		}
		return len(l.errs) > 0 || all >= queries && len(l.answers) >= servers
	})
}

// busiest returns the server that has answered most.
func (l *load) busiest(servers []*server) *server {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.MaxFunc(servers, func(a, b *server) int { return l.answers[a.port] - l.answers[b.port] })
}

func (l *load) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.answers)
}

// The server with most of the queries is killed under the load, and still listed as passing: no query fails.
func TestQueriesSurviveTheKillOfAServer(t *testing.T) {
	dsn, servers := ledger(t)
	hop, err := onehop.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = hop.Close() })
	pool, err := open(t.Context(), hop, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	instances, err := perInstance(hop, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(instances.close)

	// Each query takes a moment, so that the kill meets some on their way.
	const slow = "select current_setting('port') from pg_sleep(0.005)"
	t.Run("one pool", func(t *testing.T) {
		survive(t, servers, func() (string, error) { return read(t.Context(), pool, slow) })
	})
	t.Run("a pool per instance", func(t *testing.T) {
		survive(t, servers, func() (string, error) { return instances.read(t.Context(), slow) })
	})
}

func survive(t *testing.T, servers []*server, read func() (string, error)) {
	t.Helper()
	l := startLoad(t, read)
	l.until(t, 100, 2)
	victim := l.busiest(servers)
	victim.kill(t)
	l.forget()
	l.until(t, 500, 1)
	l.end()
	for _, err := range l.errs {
		t.Errorf("a query failed: %v", err)
	}
	if l.answers[victim.port] > workers { // what it answered before may be counted after
		t.Errorf("port %s answered after its kill: %v", victim.port, l.answers)
	}
	t.Logf("after the kill of port %s answered: %v", victim.port, l.answers)
	victim.start(t)
}

func TestExampleFindsTheLivingServer(t *testing.T) {
	dsn, servers := ledger(t)
	servers[0].kill(t)
	servers[1].kill(t)
	var out strings.Builder
	if err := run(t.Context(), dsn, &out); err != nil {
		t.Fatal(err)
	}
	port := servers[2].port
	if want := strings.Repeat("one pool: "+port+"\na pool per instance: "+port+"\n", 3); out.String() != want {
		t.Errorf("printed %q, want %q", out.String(), want)
	}
}

func TestExampleSaysThatNobodyIsThere(t *testing.T) {
	environment(t)
	name := consultest.Name(t, "nowhere")
	err := run(t.Context(), "postgres://onehop@"+name+"/postgres?sslmode=disable", new(strings.Builder))
	if onehop.ReasonOf(err) != onehop.ReasonNoEndpoints || !strings.Contains(err.Error(), name) {
		t.Errorf("error %v, want no_endpoints of %s", err, name)
	}
}

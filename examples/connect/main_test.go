package main

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/onehop-go/onehop"
	"github.com/onehop-go/onehop/internal/consultest"
)

// serveEnv makes the test's binary a server on the address it holds.
const serveEnv = "EXAMPLE_CONNECT_SERVE"

func TestMain(m *testing.M) {
	if addr := os.Getenv(serveEnv); addr != "" {
		fmt.Fprintln(os.Stderr, run(context.Background(), []string{"serve", addr}, os.Stdout))
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

// startServer serves in a process of its own until t ends.
func startServer(t *testing.T) (addr string, process *consultest.Process) {
	t.Helper()
	addr, release, err := consultest.FreeAddr()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(release)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), serveEnv+"="+addr)
	process, err = consultest.StartProcess(cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { kill(t, process) })
	return addr, process
}

func kill(t *testing.T, p *consultest.Process) {
	t.Helper()
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
}

// load makes calls from several goroutines at once, without a pause and until told to end.
type load struct {
	stop    atomic.Bool
	workers sync.WaitGroup
	mu      sync.Mutex
	answers map[string]int // by the server that answered, since the last forget
	cut     int            // streams that broke after their headers
	errs    []error
}

// workers is how many calls are on their way at any time.
const workers = 4

func startLoad(t *testing.T, call func(context.Context, string) (answer, error)) *load {
	t.Helper()
	l := &load{answers: map[string]int{}}
	t.Cleanup(l.end)
	for range workers {
		l.workers.Go(func() {
			for !l.stop.Load() {
				l.count(call(t.Context(), "anvil"))
			}
		})
	}
	return l
}

func (l *load) end() {
	l.stop.Store(true)
	l.workers.Wait()
}

func (l *load) count(a answer, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err == nil && a.protocol == "HTTP/2.0":
		l.answers[a.server]++
	case err == nil:
		l.errs = append(l.errs, fmt.Errorf("spoke %s", a.protocol))
	case a.protocol != "": // the headers were there
		l.cut++
	default:
		l.errs = append(l.errs, err)
	}
}

func (l *load) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.answers)
}

// until waits until each of those servers has answered a hundred calls, or one has failed.
func (l *load) until(t *testing.T, servers ...string) {
	t.Helper()
	consultest.Until(t, fmt.Sprint("100 answers each of ", servers), func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		few := slices.ContainsFunc(servers, func(s string) bool { return l.answers[s] < 100 })
		return !few || len(l.errs) > 0
	})
}

// One of two servers is killed under the load, and stays in the set: no call fails, unary or streaming, in either protocol.
// A stream that the server had begun to answer breaks.
func TestCallsSurviveTheKillOfAServer(t *testing.T) {
	for _, p := range protocols {
		for _, kind := range []string{"unary", "stream"} {
			t.Run(p.name+" "+kind, func(t *testing.T) {
				victim, process := startServer(t)
				other, _ := startServer(t)
				hop := newHop(t, victim, other)
				c := newClient(hop, p.options...)
				call := c.stock
				if kind == "stream" {
					call = c.list
				}
				l := startLoad(t, call)
				l.until(t, victim, other)
				kill(t, process)
				l.forget()
				l.until(t, other)
				l.end()
				for _, err := range l.errs {
					t.Errorf("a call failed: %v", err)
				}
				if n := l.answers[victim]; n > workers { // what it answered before may be counted after
					t.Errorf("%d answers after the kill", n)
				}
				if l.cut > workers || kind == "unary" && l.cut > 0 {
					t.Errorf("%d calls were cut", l.cut)
				}
				t.Logf("%d answers of the other, %d streams cut", l.answers[other], l.cut)
			})
		}
	}
}

// The first answer is cut off after its headers, as by a kill at that moment.
func TestAUnaryCallSurvivesACutInItsAnswer(t *testing.T) {
	for _, p := range protocols {
		t.Run(p.name, func(t *testing.T) {
			addr, requests := startCuttingServer(t)
			c := newClient(newHop(t, addr), p.options...)
			if a, err := c.stock(t.Context(), "anvil"); err != nil || a.server != addr || requests.Load() != 2 {
				t.Errorf("%v %v after %d requests, want an answer after 2", a, err, requests.Load())
			}
		})
	}
}

func startCuttingServer(t *testing.T) (addr string, requests *atomic.Int32) {
	t.Helper()
	type connection struct{}
	requests = new(atomic.Int32)
	s := httptest.NewUnstartedServer(nil)
	addr = s.Listener.Addr().String()
	answers := handler(addr)
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Config.ConnContext = func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connection{}, c) }
	s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if requests.Add(1) > 1 {
			answers.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", cmp.Or(r.Header.Get("Content-Type"), "application/proto")) // Connect's GET has none
		_ = http.NewResponseController(w).Flush()                                                 // the headers
		if c, ok := r.Context().Value(connection{}).(net.Conn); ok {
			_ = c.Close()
		}
	})
	s.Start()
	t.Cleanup(s.Close)
	return addr, requests
}

// newHop returns a Client for servers, each of which accepts connections.
func newHop(t *testing.T, servers ...string) *onehop.Client {
	t.Helper()
	for _, s := range servers {
		hop, err := onehop.New(static([]string{s})...)
		if err != nil {
			t.Fatal(err)
		}
		if err := hop.Ready(t.Context(), service); err != nil {
			t.Fatal(err)
		}
		_ = hop.Close()
	}
	hop, err := onehop.New(static(servers)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = hop.Close() })
	return hop
}

func TestExamplePrintsAnswers(t *testing.T) {
	addr, _ := startServer(t)
	newHop(t, addr)
	var out strings.Builder
	if err := run(t.Context(), []string{"call", addr}, &out); err != nil {
		t.Fatal(err)
	}
	var want strings.Builder
	for _, p := range protocols {
		fmt.Fprintf(&want, "%s: 7 of anvil, says %s over HTTP/2.0\n", p.name, addr)
		fmt.Fprintf(&want, "%s: [\"anvil 0\" \"anvil 1\" \"anvil 2\"], says %s over HTTP/2.0\n", p.name, addr)
	}
	if out.String() != want.String() {
		t.Errorf("printed %q, want %q", out.String(), want.String())
	}
}

// The example with Consul, in which one of two instances is dead.
func TestExampleFindsTheLivingServer(t *testing.T) {
	agent := consultest.Start(t, consultest.WithOwn()) // the service's name is not unique
	t.Setenv("CONSUL_HTTP_ADDR", agent.Addr)
	t.Setenv("CONSUL_HTTP_TOKEN", "")
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	dead, process := startServer(t)
	kill(t, process)
	alive, _ := startServer(t)
	newHop(t, alive)
	for _, addr := range []string{dead, alive} {
		agent.Register(t, consultest.Service{Name: service, Port: portOf(t, addr)})
	}
	var out strings.Builder
	if err := run(t.Context(), []string{"call"}, &out); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(out.String(), "says "+alive); n != 4 {
		t.Errorf("printed %q, want 4 answers of %s", out.String(), alive)
	}
}

func portOf(t *testing.T, addr string) int {
	t.Helper()
	_, port, _ := strings.Cut(addr, ":")
	var n int
	if _, err := fmt.Sscan(port, &n); err != nil {
		t.Fatal(err)
	}
	return n
}

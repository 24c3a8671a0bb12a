package faults

import (
	"encoding/base64"
	"encoding/json"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/onehop-go/onehop/internal/consultest"
)

// server is an instance in this process whose handler is swapped at will, with the ledger of what reached it: HTTP/1.1,
// and HTTP/2 to those who begin with it.
type server struct {
	t    *testing.T
	addr string
	now  atomic.Pointer[http.HandlerFunc]

	mu       sync.Mutex
	http     *http.Server
	idle     time.Duration // a connection idle for so long is closed; 0: never
	served   chan struct{}
	requests int
	executed map[string]int // by call id
	opened   int            // connections
	open     map[net.Conn]bool
}

// newServer starts a server that answers 200 and ends with t.
func newServer(t *testing.T) *server {
	t.Helper()
	return newIdleServer(t, 0)
}

// newIdleServer is newServer that closes connections idle for so long.
func newIdleServer(t *testing.T, idle time.Duration) *server {
	t.Helper()
	s := &server{t: t, addr: consultest.Addr(t), idle: idle, executed: map[string]int{}, open: map[net.Conn]bool{}}
	s.answer(http.StatusOK)
	s.start()
	t.Cleanup(s.kill)
	return s
}

// newServers starts n of them.
func newServers(t *testing.T, n int) []*server {
	t.Helper()
	all := make([]*server, n)
	for i := range all {
		all[i] = newServer(t)
	}
	return all
}

func addrs(servers []*server) (all []string) {
	for _, s := range servers {
		all = append(all, s.addr)
	}
	return all
}

// start serves, on the address it had.
func (s *server) start() {
	s.t.Helper()
	l, err := net.Listen("tcp", s.addr)
	if err != nil {
		s.t.Fatal(err)
	}
	var p http.Protocols
	p.SetHTTP1(true)
	p.SetUnencryptedHTTP2(true)
	h := &http.Server{Handler: s, Protocols: &p, ConnState: s.connState, ReadHeaderTimeout: time.Minute, IdleTimeout: s.idle}
	served := make(chan struct{})
	s.mu.Lock()
	s.http, s.served = h, served
	s.mu.Unlock()
	go func() { _ = h.Serve(l); close(served) }()
}

// kill ends the server as SIGKILL would: the listener and every connection.
func (s *server) kill() {
	s.mu.Lock()
	h, served := s.http, s.served
	s.mu.Unlock()
	_ = h.Close()
	<-served
}

// behave swaps the handler. It is called after the request was counted.
func (s *server) behave(h http.HandlerFunc) { s.now.Store(&h) }

// answer makes the server execute each call and answer with status.
func (s *server) answer(status int) {
	s.behave(func(w http.ResponseWriter, r *http.Request) {
		s.execute(r)
		w.WriteHeader(status)
		_, _ = w.Write([]byte(s.addr))
	})
}

// execute books the call.
func (s *server) execute(r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.executed[r.Header.Get(consultest.CallIDHeader)]++
}

// ServeHTTP implements http.Handler.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.requests++
	s.mu.Unlock()
	w.Header().Set(consultest.InstanceHeader, s.addr)
	(*s.now.Load())(w, r)
}

func (s *server) connState(c net.Conn, state http.ConnState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch state {
	case http.StateNew:
		s.opened++
		s.open[c] = true
	case http.StateClosed, http.StateHijacked:
		delete(s.open, c)
	case http.StateActive, http.StateIdle:
	}
}

// seen is the requests that reached the server.
func (s *server) seen() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests
}

// dialled is the connections made to it, and those that stand.
func (s *server) dialled() (made, standing int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.opened, len(s.open)
}

// wire is the requests that reached any of the servers.
func wire(servers []*server) (n int) {
	for _, s := range servers {
		n += s.seen()
	}
	return n
}

// executions is how often a call was executed on all servers together, by call id.
func executions(servers []*server) map[string]int {
	all := map[string]int{}
	for _, s := range servers {
		s.mu.Lock()
		for id, n := range s.executed {
			all[id] += n
		}
		s.mu.Unlock()
	}
	return all
}

// doubles is the calls that were executed more than once.
func doubles(executed map[string]int) (n int) {
	for id, times := range executed {
		if id != "" && times > 1 {
			n++
		}
	}
	return n
}

// registered puts servers into a's catalogue under name.
func registered(t *testing.T, a *consultest.Agent, name string, servers []*server) (ids []string) {
	t.Helper()
	for _, s := range servers {
		ids = append(ids, a.Register(t, serviceAt(name, s.addr)))
	}
	return ids
}

// serviceAt is the entry of the catalogue of an instance at addr.
func serviceAt(name, addr string) consultest.Service {
	port := addrPort(addr)
	return consultest.Service{Name: name, Port: port}
}

func addrPort(addr string) int {
	a, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		return 0
	}
	return a.Port
}

// await waits until ok, which is looked at often, and fails t after a minute.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	consultest.Until(t, what, ok)
}

func contains(list []string, s string) bool { return slices.Contains(list, s) }

// field reads a text out of a JSON object.
func field(t *testing.T, object []byte, name string) string {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(object, &m); err != nil {
		t.Fatal(err)
	}
	s, _ := m[name].(string)
	return s
}

func base64Of(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

package consulapi

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/onehop-go/onehop/consul"
)

// fakeAgent is a scripted agent over in-memory connections, for what a real Consul cannot be made to do, in virtual
// time. It blocks as Consul does: until its index passes the one asked with, an index above its own included.
type fakeAgent struct {
	mu       sync.Mutex
	index    string // X-Consul-Index
	body     string
	changed  chan struct{}
	override func(http.ResponseWriter, *http.Request) bool // true: it has answered
	down     bool
	conns    map[*fakeConn]bool
	most     int // connections at once
	dials    int // to a closed port
	requests []request

	accept chan net.Conn
	server http.Server
}

type request struct {
	at    time.Time
	index string
	query string // raw
}

// newFake is to be called inside a synctest bubble.
func newFake(t *testing.T) *fakeAgent {
	t.Helper()
	f := &fakeAgent{index: "10", body: "[]", changed: make(chan struct{}), conns: map[*fakeConn]bool{}, accept: make(chan net.Conn)}
	f.server.Handler = f
	served := make(chan error, 1)
	go func() { served <- f.server.Serve(f) }()
	t.Cleanup(func() {
		_ = f.server.Close()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("fake agent: %v", err)
		}
	})
	return f
}

// client is a Client whose every connection goes to f.
func (f *fakeAgent) client(t *testing.T, a consul.Agent) *Client {
	t.Helper()
	a.Address = "192.0.2.1:8500"
	s, err := resolve(a, func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	c, err := newClient(s)
	if err != nil {
		t.Fatal(err)
	}
	c.transport.base.DialContext = f.dial
	t.Cleanup(c.transport.base.CloseIdleConnections)
	return c
}

var errRefused = errors.New("connection refused")

func (f *fakeAgent) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	f.mu.Lock()
	if f.down {
		f.dials++
		f.mu.Unlock()
		return nil, errRefused
	}
	f.mu.Unlock()
	ours, theirs := net.Pipe()
	select {
	case f.accept <- theirs:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	c := &fakeConn{Conn: ours, agent: f}
	f.conns[c] = true
	f.most = max(f.most, len(f.conns))
	return c, nil
}

type fakeConn struct {
	net.Conn
	agent *fakeAgent
}

func (c *fakeConn) Close() error {
	c.agent.mu.Lock()
	delete(c.agent.conns, c)
	c.agent.mu.Unlock()
	return c.Conn.Close()
}

// The fake is its own listener.

func (f *fakeAgent) Accept() (net.Conn, error) {
	c, ok := <-f.accept
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}

func (f *fakeAgent) Close() error {
	close(f.accept)
	return nil
}

func (f *fakeAgent) Addr() net.Addr { return &net.UnixAddr{Name: "fake", Net: "unix"} }

// set changes what is answered and wakes who blocks.
func (f *fakeAgent) set(index, body string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.index, f.body = index, body
	close(f.changed)
	f.changed = make(chan struct{})
}

// answerBy lets f answer instead, for every request.
func (f *fakeAgent) answerBy(by func(http.ResponseWriter, *http.Request) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.override = by
}

// switchOff refuses connections and breaks those that stand; false: accepts again.
func (f *fakeAgent) switchOff(off bool) {
	f.mu.Lock()
	f.down = off
	var broken []*fakeConn
	for c := range f.conns {
		broken = append(broken, c)
	}
	f.mu.Unlock()
	if off {
		for _, c := range broken {
			_ = c.Conn.Close()
		}
	}
}

// asked is every request since, by time.
func (f *fakeAgent) asked(since time.Time) (all []time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.requests {
		if !r.at.Before(since) {
			all = append(all, r.at)
		}
	}
	return all
}

// refused counts the dials while f was off.
func (f *fakeAgent) refused() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.dials
}

// last is the newest request.
func (f *fakeAgent) last() request {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.requests[len(f.requests)-1]
}

func (f *fakeAgent) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	asked := r.URL.Query().Get("index")
	f.mu.Lock()
	f.requests = append(f.requests, request{at: time.Now(), index: asked, query: r.URL.RawQuery})
	override := f.override
	f.mu.Unlock()
	if override != nil && override(w, r) {
		return
	}
	f.block(r, asked)
	f.mu.Lock()
	index, body := f.index, f.body
	f.mu.Unlock()
	w.Header().Set("X-Consul-Index", index)
	if body == "" {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	_, _ = w.Write([]byte(body))
}

// block waits as Consul does.
func (f *fakeAgent) block(r *http.Request, asked string) {
	f.mu.Lock()
	have, changed := f.index, f.changed
	f.mu.Unlock()
	want, err := strconv.ParseUint(asked, 10, 64)
	own, ownErr := strconv.ParseUint(have, 10, 64)
	if err != nil || ownErr != nil || own > want || own == 0 {
		return
	}
	if own < want {
		changed = nil // real changes do not wake an index above the server's
	}
	wait, _ := time.ParseDuration(r.URL.Query().Get("wait"))
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-changed:
	case <-timer.C:
	case <-r.Context().Done():
	}
}

// record collects what a watch tells.
type record struct {
	mu     sync.Mutex
	lists  []string // node/id of each believed list, joined
	at     []time.Time
	errors []error
	refuse error // take's answer
}

// watch runs WatchService until the test ends.
func (f *fakeAgent) watch(t *testing.T, c *Client, q ServiceQuery) *record {
	t.Helper()
	l := &record{}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	q.Service = "pay"
	wg.Go(func() { c.WatchService(ctx, q, l.take, l.failed) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	return l
}

func (l *record) take(entries []*ServiceEntry, _ time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.refuse != nil {
		return l.refuse
	}
	text := ""
	for _, e := range entries {
		text += e.Service.ID + " "
	}
	l.lists = append(l.lists, text)
	l.at = append(l.at, time.Now())
	return nil
}

func (l *record) failed(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.errors = append(l.errors, err)
}

// believed is the newest list.
func (l *record) believed() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.lists) == 0 {
		return "nothing"
	}
	return l.lists[len(l.lists)-1]
}

// firstError is the text of the first error since the last call of kinds.
func (l *record) firstError() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.errors) == 0 {
		return ""
	}
	return l.errors[0].Error()
}

// kinds are the errors since the last call.
func (l *record) kinds() (kinds []Kind) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, err := range l.errors {
		kinds = append(kinds, KindOf(err))
	}
	l.errors = nil
	return kinds
}

// instances is a health list of n instances of one node, from number from.
func instances(from, n int) string {
	text := "["
	for i := range n {
		if i > 0 {
			text += ","
		}
		id := strconv.Itoa(from + i)
		text += `{"Node":{"Node":"n1","Address":"10.0.0.1"},"Service":{"ID":"` + id + `","Service":"pay","Port":80},"Checks":[]}`
	}
	return text + "]"
}

// ids is how record.believed shows instances(from, n).
func ids(from, n int) (text string) {
	for i := range n {
		text += strconv.Itoa(from+i) + " "
	}
	return text
}

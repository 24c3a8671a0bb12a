package faults

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/onehop-go/onehop/consul"
)

// fakeAgent is a scripted agent for what a real one cannot be made to do. It keeps no connection, so that it can serve
// a bubble of virtual time from outside: there the clock stands while an answer is on its way, and goes on after it.
type fakeAgent struct {
	addr string

	mu       sync.Mutex
	handler  func(w http.ResponseWriter, r *http.Request, n int)
	requests int
}

// newFakeAgent answers by handler, which is told how many requests came before.
func newFakeAgent(t *testing.T, handler func(w http.ResponseWriter, r *http.Request, n int)) *fakeAgent {
	t.Helper()
	l := listen(t)
	f := &fakeAgent{addr: l.Addr().String(), handler: handler}
	s := &http.Server{Handler: f, ReadHeaderTimeout: time.Minute}
	s.SetKeepAlivesEnabled(false)
	served := make(chan struct{})
	go func() { _ = s.Serve(l); close(served) }()
	t.Cleanup(func() { _ = s.Close(); <-served })
	return f
}

func (f *fakeAgent) agent() consul.Agent { return consul.Agent{Address: f.addr} }

// ServeHTTP implements http.Handler.
func (f *fakeAgent) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	n, h := f.requests, f.handler
	f.requests++
	f.mu.Unlock()
	h(w, r, n)
}

// script changes what is answered.
func (f *fakeAgent) script(handler func(w http.ResponseWriter, r *http.Request, n int)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.handler = handler
}

// asked is how many requests came.
func (f *fakeAgent) asked() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.requests
}

// health is the answer of Consul's health API for instances at addrs.
func health(name string, addrs []string) string {
	type m = map[string]any
	list := []m{}
	for i, a := range addrs {
		host, port, _ := net.SplitHostPort(a)
		n, _ := strconv.Atoi(port)
		list = append(list, m{
			"Node":    m{"Node": fmt.Sprintf("n%d", i), "Address": host},
			"Service": m{"ID": name + "-" + port, "Service": name, "Address": host, "Port": n},
			"Checks":  []m{{"Status": "passing"}},
		})
	}
	b, err := json.Marshal(list)
	if err != nil {
		panic(err) // texts and numbers
	}
	return string(b)
}

// list answers every health query with body under index.
func list(index, body string) func(http.ResponseWriter, *http.Request, int) {
	return func(w http.ResponseWriter, r *http.Request, _ int) {
		if !strings.HasPrefix(r.URL.Path, "/v1/health/service/") {
			http.Error(w, "unexpected", http.StatusNotFound)
			return
		}
		w.Header().Set("X-Consul-Index", index)
		_, _ = w.Write([]byte(body))
	}
}

// status answers every query with an error.
func status(code int) func(http.ResponseWriter, *http.Request, int) {
	return func(w http.ResponseWriter, _ *http.Request, _ int) { http.Error(w, "no", code) }
}

// broken breaks every connection without an answer.
func broken(http.ResponseWriter, *http.Request, int) { panic(http.ErrAbortHandler) }

package consultest

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"sync"
	"time"
)

// Behaviour is how an instance treats the calls it gets. The zero value answers 200 at once.
type Behaviour struct {
	Delay  time.Duration `json:",omitempty"` // before anything else
	Status int           `json:",omitempty"` // of the answer; 0: 200
	Mode   Mode          `json:",omitempty"`
	Share  float64       `json:",omitempty"` // of the calls that are treated so, the others well; 0: all
	Calls  int           `json:",omitempty"` // only the next so many; 0: all
	Well   time.Duration `json:",omitempty"` // the Delay of the others
}

// Mode is what an instance does instead of answering.
type Mode string

// Modes of a [Behaviour].
const (
	Answer Mode = ""      // after Delay, with Status
	Hang   Mode = "hang"  // nothing until the caller is gone; when the behaviour changes first, execute and answer
	Reset  Mode = "reset" // execute, then break the connection without an answer
	Die    Mode = "die"   // execute, then end the process without an answer
)

// CallIDHeader carries the id under which the ledger counts a call.
const CallIDHeader = "X-Call-Id"

// InstanceHeader is the ID of the instance that answered.
const InstanceHeader = "X-Instance"

// Ledger is what an instance saw: how many requests reached it, and how often each call was executed.
type Ledger struct {
	Requests int            // all that arrived, health checks of Consul aside
	Executed map[string]int // by CallIDHeader; those without one are not listed
}

// behaving is the service inside an instance's process.
type behaving struct {
	id string

	mu      sync.Mutex
	now     Behaviour
	left    int           // of now.Calls
	changed chan struct{} // closed when now is replaced
	ledger  Ledger
}

func newBehaving(id string) *behaving {
	return &behaving{id: id, changed: make(chan struct{}), ledger: Ledger{Executed: map[string]int{}}}
}

// ServeHTTP is the service. HealthPath is not a call: it always answers 200.
func (s *behaving) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set(InstanceHeader, s.id)
	if r.URL.Path == HealthPath {
		return
	}
	b, changed := s.arrive()
	select {
	case <-time.After(b.Delay):
	case <-r.Context().Done():
		return
	}
	if b.Mode == Hang {
		select {
		case <-changed:
		case <-r.Context().Done():
			return
		}
	}
	s.execute(r.Header.Get(CallIDHeader))
	if b.Mode == Die {
		os.Exit(1)
	}
	if b.Mode == Reset {
		panic(http.ErrAbortHandler) // net/http's way to break the connection, over HTTP/1 and HTTP/2
	}
	w.WriteHeader(max(b.Status, http.StatusOK))
	_, _ = fmt.Fprintln(w, s.id) // a caller that is gone is no concern of the service
}

// arrive counts a request and says how to treat it.
func (s *behaving) arrive() (Behaviour, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ledger.Requests++
	b := s.now
	if b.Share > 0 && rand.Float64() >= b.Share {
		return Behaviour{Delay: b.Well}, s.changed
	}
	if b.Calls > 0 {
		if s.left == 0 {
			return Behaviour{Delay: b.Well}, s.changed
		}
		s.left--
	}
	return b, s.changed
}

func (s *behaving) execute(call string) {
	if call == "" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ledger.Executed[call]++
}

// control is the door by which the test changes and reads the service; it has a port of its own, so that a service
// that hangs can still be told to stop hanging.
func (s *behaving) control() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /behave", func(w http.ResponseWriter, r *http.Request) {
		var b Behaviour
		if err := json.NewDecoder(r.Body).Decode(&b); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		s.behave(b)
	})
	mux.HandleFunc("GET /ledger", func(w http.ResponseWriter, _ *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		_ = json.NewEncoder(w).Encode(s.ledger) // as above
	})
	return mux
}

func (s *behaving) behave(b Behaviour) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now, s.left = b, b.Calls
	close(s.changed)
	s.changed = make(chan struct{})
}

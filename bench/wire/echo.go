package wire

import (
	"bytes"
	"encoding/json"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
)

// payload is what every answer carries, over HTTP and gRPC.
var payload = bytes.Repeat([]byte("onehop! "), 32)

// healthPath answers 200 whatever the fault: an instance whose check passes while its calls fail is the hard case.
const healthPath = "/healthz"

// echoSetup are the addresses an instance listens at.
type echoSetup struct{ HTTP, GRPC string }

// echoRequest is what an instance is asked: to misbehave from now on, or else for its ledger since it was.
type echoRequest struct{ Fault *fault }

// fault is how an instance treats calls. The zero value answers well, and only begins the ledger.
type fault struct {
	Delay  time.Duration // before the answer
	Status int           // of the answer, at once; 0: 200
}

const (
	slot  = 100 * time.Millisecond // of the ledger
	slots = 600
)

// trouble is a fault in force, and the ledger of the calls that arrived since.
type trouble struct {
	fault
	since time.Time
	calls [slots]atomic.Int64 // by the slot they arrived in; the last has all later ones too
}

func (t *trouble) count(now time.Time) { t.calls[min(now.Sub(t.since)/slot, slots-1)].Add(1) }

// ledger are the calls of each slot.
func (t *trouble) ledger() []int64 {
	all := make([]int64, slots)
	for i := range all {
		all[i] = t.calls[i].Load()
	}
	return all
}

// echo is an instance: it answers every call with the payload.
type echo struct{ now atomic.Pointer[trouble] }

func openEcho(setup json.RawMessage) (server, error) {
	var s echoSetup
	if err := json.Unmarshal(setup, &s); err != nil {
		return nil, err
	}
	e := &echo{}
	web, err := net.Listen("tcp", s.HTTP) //nolint:noctx // a local bind does not block
	if err != nil {
		return nil, err
	}
	rpc, err := net.Listen("tcp", s.GRPC) //nolint:noctx // as above
	if err != nil {
		return nil, err
	}
	go func() { _ = (&http.Server{Handler: e, ReadHeaderTimeout: time.Minute}).Serve(web) }() // until the process ends
	g := grpc.NewServer()
	registerEcho(g)
	go func() { _ = g.Serve(rpc) }()
	return e, nil
}

// answer is the control door.
func (e *echo) answer(request json.RawMessage) (any, error) {
	var r echoRequest
	if err := json.Unmarshal(request, &r); err != nil {
		return nil, err
	}
	if r.Fault != nil {
		e.now.Store(&trouble{fault: *r.Fault, since: time.Now()})
		return nil, nil
	}
	if t := e.now.Load(); t != nil {
		return t.ledger(), nil
	}
	return []int64{}, nil
}

// ServeHTTP is the service.
func (e *echo) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == healthPath {
		return
	}
	if t := e.now.Load(); t != nil {
		t.count(time.Now())
		if t.Status != 0 {
			http.Error(w, http.StatusText(t.Status), t.Status)
			return
		}
		time.Sleep(t.Delay)
	}
	w.Header().Set("Content-Type", "text/plain")
	w.Header().Set("Content-Length", strconv.Itoa(len(payload)))
	_, _ = w.Write(payload) // a caller that is gone is no concern of the service
}

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// instanceCommand makes this program an instance of a service instead of the show.
const instanceCommand = "instance"

// healthPath answers 200 as long as the process lives: for Consul's check.
const healthPath = "/healthz"

// instanceHeader names the instance that answered.
const instanceHeader = "X-Instance"

// worker is the service: a few milliseconds of work, or whatever it was told to do instead.
type worker struct {
	id    string
	delay atomic.Int64 // nanoseconds; 0: the usual few milliseconds
	fail  atomic.Bool
}

// work is one call's. It reports whether the call succeeds.
func (w *worker) work(ctx context.Context) bool {
	if w.fail.Load() {
		return false // at once: the trap for balancers that take a quick answer for a good one
	}
	d := time.Duration(w.delay.Load())
	if d == 0 {
		d = 3*time.Millisecond + rand.N(3*time.Millisecond)
	}
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
	return true
}

// ServeHTTP is the HTTP service.
func (w *worker) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	rw.Header().Set(instanceHeader, w.id)
	if r.URL.Path == healthPath {
		return
	}
	if !w.work(r.Context()) {
		http.Error(rw, "told to fail", http.StatusInternalServerError)
		return
	}
	_, _ = io.WriteString(rw, w.id) // a caller that is gone is no concern of ours
}

// The gRPC service, written out as protoc would generate it from
//
//	service Stock { rpc Reserve(google.protobuf.StringValue) returns (google.protobuf.StringValue); }
const reserveMethod = "/quickstart.Stock/Reserve"

var stock = grpc.ServiceDesc{
	ServiceName: "quickstart.Stock",
	HandlerType: (*any)(nil),
	Methods:     []grpc.MethodDesc{{MethodName: "Reserve", Handler: reserve}},
}

//nolint:revive // the order of arguments is grpc's
func reserve(srv any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	w, _ := srv.(*worker)                                          // registered below, nothing else
	_ = grpc.SetTrailer(ctx, metadata.Pairs(instanceHeader, w.id)) // fails outside a server only
	if err := decode(new(wrapperspb.StringValue)); err != nil {
		return nil, err
	}
	if !w.work(ctx) {
		return nil, status.Error(codes.Internal, "told to fail")
	}
	return new(wrapperspb.StringValue), nil
}

// instanceMain runs an instance until it is told to leave (SIGTERM) or its parent is gone.
func instanceMain(args []string) int {
	var service, id, protocol, addr, consul string
	f := flag.NewFlagSet(instanceCommand, flag.ExitOnError)
	f.StringVar(&service, "service", "", "name in the catalogue")
	f.StringVar(&id, "id", "", "of this instance")
	f.StringVar(&protocol, "protocol", "http", "http or grpc")
	f.StringVar(&addr, "addr", "", "to listen on")
	f.StringVar(&consul, "consul", "", "address of Consul's agent")
	_ = f.Parse(args)           // ExitOnError
	signal.Ignore(os.Interrupt) // Ctrl-C is the parent's, who ends us in order
	l, err := listen(addr)
	if err == nil {
		w := &worker{id: id}
		go w.obey(os.Stdin)
		err = w.serve(l, protocol, registration{consul: consul, service: service, id: id, protocol: protocol, addr: addr})
	}
	fmt.Fprintln(os.Stderr, id, err)
	return 1
}

// serve registers, serves, and leaves in order at SIGTERM: first out of the catalogue, then, when callers have had
// time to hear of it, the calls in flight, then the process.
func (w *worker) serve(l net.Listener, protocol string, r registration) error {
	leave := make(chan os.Signal, 1)
	signal.Notify(leave, syscall.SIGTERM)
	ended := make(chan error, 1)
	shutdown := w.listen(l, protocol, ended)
	fmt.Println("ready")
	go r.register()
	select {
	case err := <-ended:
		return err
	case <-leave:
		r.deregister()
		time.Sleep(time.Second)
		shutdown()
		os.Exit(0)
	}
	return nil
}

// listen serves either protocol in the background and returns what ends it gracefully.
func (w *worker) listen(l net.Listener, protocol string, ended chan<- error) (shutdown func()) {
	if protocol == "grpc" {
		s := grpc.NewServer()
		s.RegisterService(&stock, w)
		go func() { ended <- s.Serve(l) }()
		return s.GracefulStop
	}
	s := &http.Server{Handler: w, ReadHeaderTimeout: time.Minute}
	go func() {
		if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			ended <- err
		}
	}()
	return func() { _ = s.Shutdown(context.Background()) } // with no deadline it fails for nothing we could mend
}

// obey carries out the parent's commands, a line each, and ends the process with the parent.
func (w *worker) obey(r io.Reader) {
	for s := bufio.NewScanner(r); s.Scan(); {
		word, argument, _ := strings.Cut(s.Text(), " ")
		switch word {
		case "slow":
			d, _ := time.ParseDuration(argument) // the parent prints a Duration
			w.delay.Store(int64(d))
		case "fail":
			w.fail.Store(true)
		case "recover":
			w.delay.Store(0)
			w.fail.Store(false)
		}
	}
	os.Exit(0)
}

// listen binds addr, whose last owner may be dying still.
func listen(addr string) (net.Listener, error) {
	var err error
	for range 100 {
		var l net.Listener
		if l, err = net.Listen("tcp", addr); err == nil { //nolint:noctx // a local bind does not block
			return l, nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return nil, err
}

// registration is the instance's entry in Consul's catalogue.
type registration struct{ consul, service, id, protocol, addr string }

// register tries until the agent takes it: Consul may be away while an instance starts.
func (r registration) register() {
	body, err := json.Marshal(r.entry())
	for err == nil && r.put("/v1/agent/service/register", body) != nil {
		time.Sleep(200 * time.Millisecond)
	}
}

// entry is the instance as the agent's API takes it.
func (r registration) entry() map[string]any {
	_, port, _ := net.SplitHostPort(r.addr) // we listen on it
	n, _ := strconv.Atoi(port)
	check := map[string]string{"CheckID": "service:" + r.id, "Interval": "1s", "Timeout": "1s", "Status": "passing"}
	if r.protocol == "grpc" {
		check["TCP"] = r.addr
	} else {
		check["HTTP"] = "http://" + r.addr + healthPath
	}
	return map[string]any{
		"ID": r.id, "Name": r.service, "Address": "127.0.0.1", "Port": n, "Check": check,
		// A new process on an old address is a new instance: its health begins anew.
		"Meta": map[string]string{"onehop-started": time.Now().UTC().Format(time.RFC3339Nano)},
	}
}

func (r registration) deregister() {
	_ = r.put("/v1/agent/service/deregister/"+r.id, nil) // without Consul there is nobody to tell
}

func (r registration) put(path string, body []byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, "http://"+r.consul+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // nothing is read from it
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	return nil
}

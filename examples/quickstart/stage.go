package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/onehop-go/onehop"
	"github.com/onehop-go/onehop/grpcresolver"
	"github.com/onehop-go/onehop/httpclient"
	"github.com/onehop-go/onehop/internal/consultest"
)

// The two services of the show.
const (
	httpService = "payments"
	grpcService = "inventory"
)

// The policies as operators write them. What may be repeated is said by them: GET is safe by itself, of Reserve the
// route says so.
const (
	httpPolicy = `timeout: 2s
retry:
  max_attempts: 3
  when: [unavailable, reset, attempt_timeout, server_error]
`
	grpcPolicy = httpPolicy + `routes:
  - name: reserve
    match: {grpc: quickstart.Stock/Reserve}
    idempotent: true
`
	// The live change: a frozen instance answers nothing, and only a time limit of an attempt tells.
	policyChange = "attempt_timeout: 250ms\n"
)

// stage is everything that runs during the show.
type stage struct {
	settings
	agent *consultest.Agent
	hop   *onehop.Client
	view  *view
	ours  map[string]*lane // by service, through onehop
	plain map[string]*lane // by service, through the plain client

	mu        sync.Mutex
	instances map[string]*instance // by name

	ends []func() // of what runs, in the order it was started
}

// raise starts everything. With an error it returns what it had started, for strike.
func raise(ctx context.Context, s settings) (*stage, error) {
	st := &stage{settings: s, instances: map[string]*instance{}, ours: map[string]*lane{}, plain: map[string]*lane{}, view: newView()}
	for _, step := range []func(context.Context) error{st.startConsul, st.startInstances, st.startOurs, st.startPlain} {
		if err := step(ctx); err != nil {
			return st, err
		}
	}
	return st, nil
}

// strike ends everything, the last started first.
func (st *stage) strike() {
	for _, end := range slices.Backward(st.ends) {
		end()
	}
	st.ends = nil
}

func (st *stage) atEnd(f func()) { st.ends = append(st.ends, f) }

// startConsul starts an agent that keeps its data, as in production, and writes the policies.
func (st *stage) startConsul(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "onehop-quickstart-*")
	if err != nil {
		return err
	}
	st.atEnd(func() { _ = os.RemoveAll(dir) }) // in the system's folder of temporary things
	fmt.Fprintln(os.Stderr, "starting Consul ...")
	if st.agent, err = consultest.Run(ctx, os.Stderr, consultest.WithOwn(), consultest.WithDataDir(dir)); err != nil {
		return err
	}
	st.atEnd(func() { _ = st.agent.Stop() }) // nothing is left to do if it will not
	st.view.consul(st.agent.Addr, true)
	return errors.Join(st.writePolicy(ctx, httpService, httpPolicy), st.writePolicy(ctx, grpcService, grpcPolicy))
}

func (st *stage) writePolicy(ctx context.Context, service, document string) error {
	return st.agent.PutKey(ctx, "onehop/policy/"+service, document)
}

// instancesAtFirst is how many instances each service begins with.
const instancesAtFirst = 3

// startInstances starts three of each service, and returns when Consul lists them all.
func (st *stage) startInstances(ctx context.Context) error {
	fmt.Fprintln(os.Stderr, "starting three instances of each of two services ...")
	for n := 1; n <= instancesAtFirst; n++ {
		for _, service := range []string{httpService, grpcService} {
			if err := st.startInstance(service, n); err != nil {
				return err
			}
		}
	}
	return errors.Join(st.awaitListed(ctx, httpService), st.awaitListed(ctx, grpcService))
}

// awaitListed waits until all instances of a service have registered.
func (st *stage) awaitListed(ctx context.Context, service string) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		addrs, err := passing(ctx, http.DefaultClient, st.agent.Addr, service)
		if len(addrs) == instancesAtFirst {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %d of %d instances are registered: %w", service, len(addrs), instancesAtFirst, errors.Join(ctx.Err(), err))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (st *stage) startInstance(service string, n int) error {
	protocol := "http"
	if service == grpcService {
		protocol = "grpc"
	}
	name := fmt.Sprintf("%s-%d", service, n)
	i, err := newInstance(name, service, protocol, st.agent.Addr)
	if err != nil {
		return err
	}
	st.mu.Lock()
	st.instances[name] = i
	st.mu.Unlock()
	st.atEnd(func() { _ = i.close() }) // dead already, perhaps
	st.view.instance(name, service, i.addr)
	return nil
}

// startOurs makes the clients that the show is about. These lines are all that a program needs.
func (st *stage) startOurs(ctx context.Context) error {
	hop, err := onehop.New(
		onehop.WithConsul(st.agent.Agent()),
		onehop.WithCacheDir(""), // the show's services are no use to the next process
		onehop.WithLogger(slog.New(slog.DiscardHandler)),
		onehop.WithObserver(st.view.observer()),
	)
	if err != nil {
		return err
	}
	st.atEnd(func() { _ = hop.Close() }) // never fails
	st.hop = hop
	web := httpclient.New(hop)
	conn, err := grpcresolver.NewClient(hop, grpcService, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	st.atEnd(func() { _ = conn.Close() }) // as above
	st.ours[httpService] = &lane{service: httpService, call: overHTTP(web, func() string { return "http://" + httpService + "/charges" })}
	st.ours[grpcService] = &lane{service: grpcService, call: overGRPC(conn)}

	ready, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	return hop.Ready(ready, httpService, grpcService)
}

// startPlain makes the clients that the show compares with.
func (st *stage) startPlain(ctx context.Context) error {
	p := newPlain(st.agent.Addr)
	if err := p.refresh(ctx); err != nil {
		return err
	}
	conn, err := p.dial()
	if err != nil {
		return err
	}
	st.atEnd(func() { _ = conn.Close() }) // as above
	st.plain[httpService] = &lane{service: httpService, call: overHTTP(p.client, p.url)}
	st.plain[grpcService] = &lane{service: grpcService, call: overGRPC(conn)}

	polling, cancel := context.WithCancel(context.WithoutCancel(ctx)) // it ends with the stage
	var done sync.WaitGroup
	done.Go(func() { p.poll(polling) })
	st.atEnd(func() { cancel(); done.Wait(); p.client.CloseIdleConnections() })
	return nil
}

// lanes are all streams of traffic.
func (st *stage) lanes() []*lane {
	return []*lane{st.ours[httpService], st.ours[grpcService], st.plain[httpService], st.plain[grpcService]}
}

// named returns the n-th instance of both services.
func (st *stage) named(n int) []*instance {
	st.mu.Lock()
	defer st.mu.Unlock()
	return []*instance{st.instances[fmt.Sprintf("%s-%d", httpService, n)], st.instances[fmt.Sprintf("%s-%d", grpcService, n)]}
}

// each does f to the n-th instance of both services, and shows them in a new state.
func (st *stage) each(n int, state string, f func(*instance) error) error {
	var errs []error
	for _, i := range st.named(n) {
		st.view.state(i.name, state)
		errs = append(errs, f(i))
	}
	return errors.Join(errs...)
}

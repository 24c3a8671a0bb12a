package peers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/onehop-go/onehop"
	"github.com/onehop-go/onehop/policy"
	"github.com/onehop-go/onehop/resolver"
)

// Candidate is one way to make a call.
type Candidate struct {
	Name string
	Ours bool
	// Caller returns a func that makes one call to its end. Each goroutine has its own, as each caller has its own request.
	Caller func() func() error
	// Close ends what the candidate started; nil: nothing.
	Close func() error
}

// group is a set of candidates that are compared.
type group []Candidate

func (g group) close() error {
	var errs []error
	for _, c := range g {
		if c.Close != nil {
			errs = append(errs, c.Close())
		}
	}
	return errors.Join(errs...)
}

// build makes the candidates, all or none.
func build(makers []func() (Candidate, error)) (group, error) {
	var g group
	for _, m := range makers {
		c, err := m()
		if err != nil {
			return nil, errors.Join(fmt.Errorf("peers: %w", err), g.close())
		}
		g = append(g, c)
	}
	return g, nil
}

// service is the name of what is called, and its instances.
const service = "inventory"

var instances = []string{"10.0.0.1:8001", "10.0.0.1:8002", "10.0.0.1:8003"}

// Both of the policy's times, as a peer's timeout is set: long enough never to fire.
const (
	callTimeout    = time.Second
	attemptTimeout = 500 * time.Millisecond
)

// newHop is a client of the instances with the default policy as change alters it; nil: not at all.
func newHop(change func(*policy.Policy), opts ...onehop.Option) (*onehop.Client, error) {
	p := policy.Default()
	if change != nil {
		change(&p)
	}
	opts = append(opts, onehop.WithResolver(resolver.Static{service: instances}), onehop.WithPolicies(policy.Static{service: p}))
	return onehop.New(opts...)
}

func bothTimeouts(p *policy.Policy) { p.Timeout, p.AttemptTimeout = callTimeout, attemptTimeout }

// listener is an Observer of the calls and attempts that does nothing: its price is onehop's, not the metrics'.
var listener = onehop.Observer{
	CallStart:    func(ctx context.Context, _ onehop.Call) context.Context { return ctx },
	CallDone:     func(context.Context, onehop.Call) {},
	AttemptStart: func(ctx context.Context, _ onehop.Attempt) context.Context { return ctx },
	AttemptDone:  func(context.Context, onehop.Attempt) {},
}

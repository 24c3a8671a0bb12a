package onehop

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"github.com/onehop-go/onehop/consul"
	"github.com/onehop-go/onehop/internal/consulapi"
	"github.com/onehop-go/onehop/internal/engine"
	"github.com/onehop-go/onehop/policy"
	"github.com/onehop-go/onehop/resolver"
)

// Client holds the upstreams of a process. Safe for concurrent use; make one. A nil *Client fails every call, never panics.
type Client struct {
	options
	hooks  *engine.Hooks
	ctx    context.Context // ends at Close
	cancel context.CancelFunc
	seed   uint64 // of this client's subset
	home   home

	mu        sync.Mutex
	upstreams map[resolver.Target]*watched
	closed    bool
	closers   map[*func()]struct{}
	wg        sync.WaitGroup
}

// Option configures New.
type Option func(*options)

type options struct {
	agent     consul.Agent
	resolver  resolver.Resolver
	policies  policy.Source
	cacheDir  *string
	logger    *slog.Logger
	observers []Observer
	mode      func(policy.Mode) policy.Mode
	zone      string // "": the agent may know
	faults    []Fault
	injected  map[string]*engine.Injection
	hashField string

	asksConsul bool // the agent, for discovery or policies
}

// WithConsul says how to reach Consul, for discovery and policy. Unset: the environment's CONSUL_* variables.
func WithConsul(a consul.Agent) Option { return func(o *options) { o.agent = a } }

// WithResolver replaces discovery, which is resolver.DiskCache over resolver.Consul.
func WithResolver(r resolver.Resolver) Option { return func(o *options) { o.resolver = r } }

// WithPolicies replaces the source of policies, which is policy.KV. Together with WithResolver no Consul is needed.
func WithPolicies(s policy.Source) Option { return func(o *options) { o.policies = s } }

// WithCacheDir sets the folder of the disk cache. Unset: onehop in os.UserCacheDir; one that cannot be written only
// warns. "": no disk cache.
func WithCacheDir(dir string) Option { return func(o *options) { o.cacheDir = &dir } }

// WithLogger sets where onehop logs. Unset or nil: slog.Default().
func WithLogger(l *slog.Logger) Option { return func(o *options) { o.logger = l } }

// WithObserver adds an Observer. It may be given several times; all are told, in order.
func WithObserver(ob Observer) Option {
	return func(o *options) { o.observers = append(o.observers, ob) }
}

// WithZone says which zone this process runs in, as the endpoints' Zone names it: while load_balancing.prefer_local_zone
// holds, its own zone's endpoints are preferred. Unset or "": the variable ONEHOP_ZONE, else what the Consul agent says of
// its node, its locality or its metadata "zone", once endpoints with a zone are listed; until then none is preferred.
func WithZone(zone string) Option { return func(o *options) { o.zone = zone } }

// WithHashField names the HTTP header or gRPC metadata field whose value places a call that has no HashKey on the ring of
// ring_hash. "": none; such calls are balanced by p2c_ewma.
func WithHashField(name string) Option { return func(o *options) { o.hashField = name } }

// New returns a Client. It does no I/O: discovery begins with the first use of a target. The error is of a wrong option
// or variable.
func New(opts ...Option) (*Client, error) {
	c := &Client{options: options{zone: os.Getenv("ONEHOP_ZONE")}, upstreams: map[resolver.Target]*watched{}, closers: map[*func()]struct{}{}}
	for i, o := range opts {
		if o == nil {
			return nil, fmt.Errorf("onehop: option %d is nil", i+1)
		}
		o(&c.options)
	}
	if c.logger == nil {
		c.logger = slog.Default()
	}
	if err := c.complete(); err != nil {
		return nil, err
	}
	c.seed = newSeed()
	c.hooks = hooksOf(c.observers)
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c, nil
}

// complete fills in what was not set, and checks what was.
func (o *options) complete() error {
	var err error
	if o.mode, err = modeOf(os.Getenv("ONEHOP_MODE")); err != nil {
		return err
	}
	if o.injected, err = injections(o.faults); err != nil {
		return err
	}
	if o.asksConsul = o.resolver == nil || o.policies == nil; o.asksConsul {
		if err := consulapi.Check(o.agent); err != nil {
			return fmt.Errorf("onehop: %w", err)
		}
	}
	if o.resolver == nil {
		o.resolver = o.cached(resolver.Consul{Agent: o.agent})
	}
	if o.policies == nil {
		o.policies = policy.KV{Agent: o.agent}
	}
	if s, ok := o.policies.(policy.Static); ok {
		return validate(s)
	}
	return nil
}

// cached is r over the disk cache, or r itself where there is to be none.
func (o *options) cached(r resolver.Resolver) resolver.Resolver {
	if o.cacheDir != nil {
		if *o.cacheDir == "" {
			return r
		}
		return resolver.DiskCache(r, *o.cacheDir)
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		o.logger.Warn("onehop: no disk cache: a start without Consul will find no endpoints; set it with WithCacheDir", "error", err)
		return r
	}
	return resolver.DiskCache(r, filepath.Join(dir, "onehop"))
}

// validate checks policies made in code, which no parser has seen.
func validate(s policy.Static) error {
	var errs []error
	for service, p := range s {
		if err := p.Validate(); err != nil {
			errs = append(errs, fmt.Errorf("onehop: policy of %q: %w (start from policy.Default)", service, err))
		}
	}
	return errors.Join(errs...)
}

// modeOf reads ONEHOP_MODE, which wins over every policy's mode.
func modeOf(value string) (func(policy.Mode) policy.Mode, error) {
	switch m := policy.Mode(value); m {
	case "":
		return nil, nil //nolint:nilnil // no override is a valid answer
	case policy.Enforce, policy.Observe, policy.Bypass:
		return func(policy.Mode) policy.Mode { return m }, nil
	}
	return nil, fmt.Errorf("onehop: ONEHOP_MODE is %q; it must be enforce, observe or bypass, or unset", value)
}

// Close ends calls in flight with ReasonClosed, closes their connections and waits for everything onehop started. A
// second Close returns nil.
func (c *Client) Close() error {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		c.wg.Wait()
		return nil
	}
	c.closed = true
	closers := c.closers
	c.closers = nil
	c.mu.Unlock()
	c.cancel()
	for f := range closers {
		(*f)()
	}
	c.wg.Wait()
	return nil
}

// onClose runs f once when the Client closes, at once where it has. stop takes it back.
func (c *Client) onClose(f func()) (stop func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		go f() // not under mu: f may call back
		return func() {}
	}
	k := &f
	c.closers[k] = struct{}{}
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.closers, k)
	}
}

// spawn runs f in the background until it returns; its context ends when the Client closes, and Close waits for it.
// false: the Client has closed, and f does not run.
func (c *Client) spawn(f func(context.Context)) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.wg.Go(func() { f(c.ctx) })
	return true
}

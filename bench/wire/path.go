package wire

import (
	"context"
	"io"

	"github.com/onehop-go/onehop/internal/consultest"
)

// pathKind is a way of calling as it stands in a comparison: who calls, and what it calls through.
type pathKind struct {
	name   string
	by     means
	policy string     // of onehop; "": its defaults
	consul bool       // onehop finds the instances and its policy in a real Consul
	proxy  *proxyKind // nil: straight to the instances
}

// path is one that is up: a generator with its connections, and the processes between it and the instances.
type path struct {
	*pathKind

	generator *child
	proxy     *proxy
	agent     *consultest.Agent
}

// cast are the kinds that can be had here.
type cast struct {
	kinds    []pathKind
	programs map[*proxyKind]string // paths of the proxies' programs
	versions map[string]string     // of the proxies
	missing  map[string]string     // the kinds that cannot be had, with the lack
}

// found looks for the proxies' programs.
func found(ctx context.Context, c *config, kinds []pathKind) *cast {
	all := &cast{programs: map[*proxyKind]string{}, versions: map[string]string{}, missing: map[string]string{}}
	for _, k := range kinds {
		if k.proxy == nil {
			all.kinds = append(all.kinds, k)
			continue
		}
		program, lack := k.proxy.find(ctx, c)
		if lack != "" {
			all.missing[k.name] = lack
			continue
		}
		all.programs[k.proxy], all.versions[k.proxy.name] = program, k.proxy.version(ctx, program)
		all.kinds = append(all.kinds, k)
	}
	return all
}

// opening is what a path needs to be opened.
type opening struct {
	addrs    []string // of the instances
	programs map[*proxyKind]string
	checks   bool // the proxy asks after the instances' health
	progress io.Writer
}

// open starts the path's processes. The caller ends them with stop, when err is not nil too.
func (k *pathKind) open(ctx context.Context, o *opening) (*path, error) {
	p := &path{pathKind: k}
	w := way{By: k.by, Addrs: o.addrs, Policy: k.policy}
	var err error
	switch {
	case k.proxy != nil:
		if p.proxy, err = k.proxy.start(ctx, o.programs[k.proxy], o.addrs, o.checks); err == nil {
			w.Addrs = []string{p.proxy.addr}
		}
	case k.consul:
		if p.agent, err = startConsul(ctx, o); err == nil {
			w.Consul = p.agent.Addr
		}
	}
	if err == nil {
		p.generator, err = startChild(ctx, roleLoad, w)
	}
	return p, err
}

// startConsul starts an agent that knows the instances.
func startConsul(ctx context.Context, o *opening) (*consultest.Agent, error) {
	a, err := consultest.Run(ctx, o.progress, consultest.WithOwn())
	if err != nil {
		return nil, err
	}
	for _, addr := range o.addrs {
		s, err := registration(addr)
		if err == nil {
			_, err = a.RegisterService(ctx, s)
		}
		if err != nil {
			_ = a.Stop()
			return nil, err
		}
	}
	return a, nil
}

func (p *path) stop() {
	if p.generator != nil {
		p.generator.stop()
	}
	if p.proxy != nil {
		p.proxy.stop()
	}
	if p.agent != nil {
		_ = p.agent.Stop() // killed when it does not
	}
}

// between are the processes that a call goes through, or that the caller needs: the proxy, or Consul's agent.
func (p *path) between() []int {
	switch {
	case p.proxy != nil:
		return p.proxy.pids()
	case p.agent != nil:
		return []int{p.agent.PID()}
	}
	return nil
}

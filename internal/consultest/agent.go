package consultest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/onehop-go/onehop/consul"
)

// ManagementToken is the token of every right under [WithACL]. Consul wants a UUID; this one is no secret.
const ManagementToken = "11111111-1111-1111-1111-111111111111"

// Agent is a running Consul agent. Its methods may be called concurrently, but for those that start and end it.
type Agent struct {
	Addr       string // of the HTTP API: "127.0.0.1:port", or CONSUL_HTTP_ADDR as it is
	DNSAddr    string // "127.0.0.1:port", for TCP and UDP; "": unknown (a shared agent that does not say)
	Token      string // of every right under WithACL, or CONSUL_HTTP_TOKEN; else ""
	Datacenter string
	Version    string // "1.14.11"

	shared bool     // CONSUL_HTTP_ADDR: not ours to stop
	binary string   // of our own
	args   []string // of our own
	ports  *ports   // kept over restarts, so that clients find the agent again
	proc   *Process
	http   *http.Client
}

// Option configures [Start] and [Run].
type Option func(*config)

type config struct {
	own        bool
	acl        bool
	datacenter string
	args       []string
	server     []string // of one server of a cluster, instead of -dev
}

// need says why the options need an agent of their own; "" when a shared one will do.
func (c *config) need() string {
	switch {
	case c.server != nil:
		return "an agent that keeps its data"
	case c.acl:
		return "an agent with ACLs"
	case c.datacenter != "":
		return "an agent of datacenter " + c.datacenter
	case len(c.args) > 0:
		return "an agent with arguments of its own"
	}
	return ""
}

// WithACL denies whatever a token does not allow; the agent's Token allows everything.
func WithACL() Option { return func(c *config) { c.acl = true } }

// WithDatacenter names the agent's datacenter; unset it is Consul's default, dc1.
func WithDatacenter(name string) Option { return func(c *config) { c.datacenter = name } }

// WithOwn starts an agent whatever CONSUL_HTTP_ADDR says: for what must be able to kill it and to name its services.
func WithOwn() Option { return func(c *config) { c.own = true } }

// WithDataDir keeps catalogue and keys in dir over restarts, as a server in production does.
func WithDataDir(dir string) Option {
	return func(c *config) { c.server = append(serverArgs(dir), "-bootstrap-expect", "1") }
}

// serverArgs are those of a server that is no dev agent.
func serverArgs(dir string) []string {
	return []string{
		"-server", "-data-dir", dir,
		"-hcl", "connect { enabled = true }", "-hcl", "performance { raft_multiplier = 1 }", // an election in 2 to 4 s instead of 12 to 19
	}
}

// WithArgs adds arguments to those of `consul agent`.
func WithArgs(args ...string) Option { return func(c *config) { c.args = append(c.args, args...) } }

// errShared is what an operation gives that a shared agent cannot serve.
var errShared = errors.New("CONSUL_HTTP_ADDR names a shared agent, which tests do not stop or configure")

// Run starts a dev agent on free ports of 127.0.0.1, or takes the one CONSUL_HTTP_ADDR names. It returns when the
// agent answers. What takes long is told to progress. The caller ends it with Stop or Kill; ctx bounds the start only.
func Run(ctx context.Context, progress io.Writer, opts ...Option) (*Agent, error) {
	var c config
	for _, o := range opts {
		o(&c)
	}
	if addr := os.Getenv("CONSUL_HTTP_ADDR"); addr != "" && !c.own {
		if need := c.need(); need != "" {
			return nil, fmt.Errorf("%s is needed: %w", need, errShared)
		}
		return sharedAgent(ctx, addr)
	}
	path, version, err := binary(ctx, progress)
	if err != nil {
		return nil, err
	}
	// A port may be taken between the look and Consul's own bind: then the agent ends at once, and another block is tried.
	const tries = 5
	for range tries {
		var p *ports
		if p, err = claimPorts(); err != nil {
			return nil, err
		}
		a := newAgent(path, version, p, &c)
		if err = a.start(ctx); err == nil {
			return a, nil
		}
		p.release()
		if !strings.Contains(err.Error(), "address already in use") {
			break
		}
	}
	return nil, err
}

// portNames are the flags of an agent's ports, in the order of its block from 1.
var portNames = []string{"http", "dns", "grpc", "grpc-tls", "server", "serf-lan", "serf-wan"}

const (
	serverRPC = 5
	serfLAN   = 6
	serfWAN   = 7
)

// newAgent prepares an agent of our own on the block p.
func newAgent(path, version string, p *ports, c *config) *Agent {
	a := &Agent{Addr: p.addr(1), DNSAddr: p.addr(2), Datacenter: "dc1", Version: version, binary: path, ports: p, http: apiClient()}
	a.args = []string{"agent", "-node", "node-" + strconv.Itoa(p.base), "-bind", "127.0.0.1", "-client", "127.0.0.1", "-log-level", "warn"}
	if c.server == nil {
		a.args = append(a.args, "-dev") // a server with Connect and peering, all in memory
	}
	a.args = append(a.args, c.server...)
	for i, name := range portNames {
		if name == "grpc-tls" && strings.HasPrefix(version, "1.13.") {
			continue // 1.14 brought it
		}
		a.args = append(a.args, "-"+name+"-port", strconv.Itoa(p.port(i+1)))
	}
	if c.datacenter != "" {
		a.Datacenter = c.datacenter
		a.args = append(a.args, "-datacenter", c.datacenter)
	}
	if c.acl {
		a.Token = ManagementToken
		a.args = append(a.args, "-hcl", fmt.Sprintf(
			`acl { enabled = true default_policy = "deny" tokens { initial_management = %q agent = %q } }`, a.Token, a.Token))
	}
	a.args = append(a.args, c.args...)
	return a
}

// sharedAgent takes the agent of the environment.
func sharedAgent(ctx context.Context, addr string) (*Agent, error) {
	a := &Agent{Addr: addr, Token: os.Getenv("CONSUL_HTTP_TOKEN"), shared: true, http: apiClient()}
	if err := a.ready(ctx); err != nil {
		return nil, fmt.Errorf("CONSUL_HTTP_ADDR=%s: %w", addr, err)
	}
	a.describe(ctx)
	return a, nil
}

// Agent is how the library reaches this agent.
func (a *Agent) Agent() consul.Agent { return consul.Agent{Address: a.Addr, Token: a.Token} }

// Shared says whether the agent is the environment's, and serves others at the same time.
func (a *Agent) Shared() bool { return a.shared }

// PID is the process of an agent of our own; 0 for a shared one.
func (a *Agent) PID() int {
	if a.proc == nil {
		return 0
	}
	return a.proc.PID()
}

// start runs the process and waits until it answers.
func (a *Agent) start(ctx context.Context) error {
	if err := a.launch(); err != nil {
		return err
	}
	if err := a.ready(ctx); err != nil {
		return errors.Join(fmt.Errorf("consul %s: %w\n%s", strings.Join(a.args, " "), err, a.proc.tail), a.proc.Kill())
	}
	return nil
}

// launch runs the process.
func (a *Agent) launch() error {
	cmd := exec.Command(a.binary, a.args...) //nolint:noctx // it lives until Stop or Kill, not for a call
	cmd.Env = withoutConsul(os.Environ())
	proc, err := StartProcess(cmd)
	if err == nil {
		a.proc = proc
	}
	return err
}

// ready waits until the agent has a leader and its own node is registered and healthy: before that, services on the
// node do not count as passing.
func (a *Agent) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		body, err := a.call(ctx, http.MethodGet, "/v1/health/service/consul?passing", nil)
		if err == nil && len(body) > len("[]\n") {
			return nil
		}
		var denied *StatusError
		if errors.As(err, &denied) && denied.Status == http.StatusForbidden && a.shared {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not ready: %w", errors.Join(ctx.Err(), err))
		case <-a.ended():
			return errors.New("ended at its start")
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// ended is closed when the process has; nil, which never is ready, for a shared agent.
func (a *Agent) ended() <-chan struct{} {
	if a.proc == nil {
		return nil
	}
	return a.proc.done
}

// KillNow ends the agent as a crash would: nothing is deregistered. Its ports stay reserved for a restart.
func (a *Agent) KillNow() error {
	if a.shared {
		return errShared
	}
	return a.proc.Kill()
}

// Stop ends the agent in an orderly way. It leaves a shared one alone.
func (a *Agent) Stop() error {
	if a.shared {
		return nil
	}
	err := a.proc.Stop(2 * time.Second)
	a.ports.release()
	return err
}

// StartAgain starts the agent anew on the same ports, ending it first if it runs. A dev agent keeps nothing: services
// and keys are gone.
func (a *Agent) StartAgain(ctx context.Context) error {
	if err := a.KillNow(); err != nil {
		return err
	}
	return a.start(ctx)
}

// withoutConsul drops the caller's Consul settings: an agent under test has none but its arguments.
func withoutConsul(env []string) []string {
	var kept []string
	for _, e := range env {
		if !strings.HasPrefix(e, "CONSUL_") {
			kept = append(kept, e)
		}
	}
	return kept
}

package grpcresolver

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"

	"github.com/onehop-go/onehop/internal/bridge"
	"github.com/onehop-go/onehop/internal/dialer"
	"github.com/onehop-go/onehop/internal/engine"
	"github.com/onehop-go/onehop/internal/health"
)

// link is what one set of dial options shares. hop is an *onehop.Client.
type link struct {
	hop       any
	mu        sync.Mutex // writers of upstreams
	upstreams atomic.Pointer[map[string]*lookup]
	conns     tracker
	connects  connects
}

// lookup is what a ClientConn's target leads to. Without up and err it is no target of ours.
type lookup struct {
	link  *link
	up    *engine.Upstream
	err   error
	ready atomic.Pointer[picker] // of the ClientConn that was ready last; nil: none is
	hurried
}

func newLink(hop any) *link {
	l := &link{hop: hop}
	l.upstreams.Store(&map[string]*lookup{})
	l.conns.hop = hop
	return l
}

// upstream finds what a ClientConn's target, as it was dialled, leads to. Targets are few: each is read once and kept.
func (l *link) upstream(target string) *lookup {
	if found := (*l.upstreams.Load())[target]; found != nil {
		return found
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	known := *l.upstreams.Load()
	if found := known[target]; found != nil {
		return found
	}
	found := l.find(target)
	found.link = l
	next := maps.Clone(known)
	next[target] = found
	l.upstreams.Store(&next)
	return found
}

func (l *link) find(target string) *lookup {
	if !ours(target) {
		return &lookup{}
	}
	t, err := parse(l.hop, target)
	if err != nil {
		return &lookup{err: invalid(err)}
	}
	warnIgnored(bridge.Logger(l.hop), target)
	up, err := bridge.Upstream(l.hop, t)
	return &lookup{up: up, err: err}
}

// ours says whether a dialled target has our scheme.
func ours(target string) bool {
	scheme, _, ok := strings.Cut(target, ":")
	return ok && strings.EqualFold(scheme, Scheme)
}

// The connection backoff is grpc-go's own but for its longest delay, which is the default max_open_for: an endpoint that
// came back should not be missed for two minutes.
var reconnecting = grpc.ConnectParams{
	Backoff:           backoff.Config{BaseDelay: time.Second, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Minute},
	MinConnectTimeout: 20 * time.Second,
}

// connecting are the options that a caller's own may replace.
func (l *link) connecting() []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithContextDialer(l.dial), grpc.WithConnectParams(reconnecting), grpc.WithDefaultServiceConfig(defaultConfig),
	}
}

// calling are the options that make the calls ours. Retries and service configs of grpc-go would stack with the loop's.
func (l *link) calling() []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithResolvers(&builder{link: l}),
		grpc.WithDisableServiceConfig(),
		grpc.WithDisableRetry(),
		grpc.WithChainUnaryInterceptor(l.unary),
		grpc.WithChainStreamInterceptor(l.stream),
	}
}

// checkAgent refuses a target whose authority names another agent than hop's: one Client has one agent.
func checkAgent(hop any, target string) error {
	if !ours(target) {
		return nil
	}
	u, err := url.Parse(target)
	if err != nil {
		return errors.New("the target is not a URL") // its text may hold a token
	}
	if u.Host == "" {
		return nil
	}
	own := bridge.Agent(hop).Address
	if own == "" {
		own = os.Getenv("CONSUL_HTTP_ADDR")
	}
	if own == "" {
		own = "127.0.0.1:8500"
	}
	_, bare, ok := strings.Cut(own, "://")
	if !ok {
		bare = own
	}
	if sameHost(u.Host, bare) {
		return nil
	}
	return fmt.Errorf("target names the Consul agent %s, and this Client's is %s: leave the authority empty (consul:///name), "+
		"make a Client for that agent, or import grpcresolver/register", u.Host, bare)
}

func sameHost(a, b string) bool { return strings.EqualFold(withPort(a), withPort(b)) }

// withPort completes an agent's address with Consul's port.
func withPort(host string) string {
	if _, _, err := net.SplitHostPort(host); err == nil {
		return host
	}
	return net.JoinHostPort(strings.Trim(host, "[]"), "8500")
}

// redial is how other protocols on the same upstream probe an endpoint that grpc-go could not connect to.
func redial(e *health.Endpoint) func(context.Context) error {
	return func(ctx context.Context) error {
		info := e.Info()
		dial := func(ctx context.Context, _, addr string) (net.Conn, error) { return plainDial(ctx, addr) }
		conn, err := dialer.First(ctx, dial, "tcp", info.Addr, info.Alternates)
		if err != nil {
			return err
		}
		return conn.Close()
	}
}

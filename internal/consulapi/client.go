package consulapi

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"sync"

	"github.com/hashicorp/consul/api"

	"github.com/onehop-go/onehop/consul"
)

// Client is the process's one way to an agent with given settings. Safe for concurrent use.
type Client struct {
	settings  settings
	transport *transport
	api       *api.Client
	lanes     *lanes
	maxBody   int64 // of an answer

	mu   sync.Mutex
	keys map[string]*keyWatch
}

// registry has the Clients in use and how often each is held.
var registry = struct {
	sync.Mutex
	clients map[settings]*counted
}{clients: map[settings]*counted{}}

type counted struct {
	client *Client
	holds  int
}

// Check resolves the environment and says what is wrong with a; it does no I/O.
func Check(a consul.Agent) error {
	_, err := resolve(a, os.Getenv)
	return err
}

// Where says which catalogue a reads: the agent's address and datacenter, the environment resolved. "" when its settings
// are wrong.
func Where(a consul.Agent) string {
	s, err := resolve(a, os.Getenv)
	if err != nil {
		return ""
	}
	return s.shown + " " + s.datacenter + " " + s.namespace + " " + s.partition
}

// Acquire gives the Client that all equal agents share, for as long as anybody holds it; Release gives it back. An error
// says which settings are wrong; there is no I/O.
func Acquire(a consul.Agent) (*Client, error) {
	s, err := resolve(a, os.Getenv)
	if err != nil {
		return nil, err
	}
	registry.Lock()
	defer registry.Unlock()
	held := registry.clients[s]
	if held == nil {
		c, err := newClient(s)
		if err != nil {
			return nil, err
		}
		held = &counted{client: c}
		registry.clients[s] = held
	}
	held.holds++
	return held.client, nil
}

// Release gives back one Acquire, after the last watch of the caller has ended. The last one closes the connections.
func (c *Client) Release() {
	registry.Lock()
	defer registry.Unlock()
	held := registry.clients[c.settings]
	if held == nil || held.client != c {
		return
	}
	if held.holds--; held.holds == 0 {
		delete(registry.clients, c.settings)
		c.transport.close()
	}
}

// Address is the agent's, for people.
func (c *Client) Address() string { return c.settings.shown }

// tokenOfTransport keeps api.NewClient from reading token files and variables: the transport sets the token.
const tokenOfTransport = "set-by-the-transport"

func newClient(s settings) (*Client, error) {
	t := newTransport(&s)
	config := &api.Config{
		Address:   s.base,
		Scheme:    "http",
		Token:     tokenOfTransport,
		Namespace: s.namespace,
		Partition: s.partition,
		HttpClient: &http.Client{
			Transport:     t,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	if s.tls {
		config.Scheme = "https"
	}
	if s.user != "" || s.password != "" {
		config.HttpAuth = &api.HttpBasicAuth{Username: s.user, Password: s.password}
	}
	a, err := api.NewClient(config)
	if err != nil {
		return nil, fmt.Errorf("consul agent: %w", errors.Unwrap(err))
	}
	c := &Client{settings: s, transport: t, api: a, maxBody: maxBody, keys: map[string]*keyWatch{}}
	c.lanes = newLanes(t.http2.Load)
	return c, nil
}

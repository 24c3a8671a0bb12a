package grpcresolver

import (
	"sync"
	"time"

	"github.com/onehop-go/onehop/internal/engine"
)

// connects bounds the making of connections by connect_timeout: the dial, and beyond it the TLS handshake and the server's
// HTTP/2 preface. grpc-go has one limit for all of it, but fixed when the ClientConn is made, and longer the more often a
// connection failed. A dialer is told an address and nothing else, so the balancers say which addresses are whose, and
// which became ready. The zero value expects nothing. Safe for concurrent use.
type connects struct {
	mu     sync.Mutex
	wanted map[string]map[*engine.Upstream]int // by address: how many balancers want it, and for whom
	begun  map[string]map[*tracked]*time.Timer // dialled, and not ready yet
}

// expect replaces the addresses that a balancer of up wants.
func (c *connects) expect(up *engine.Upstream, before, after []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.wanted == nil {
		c.wanted = map[string]map[*engine.Upstream]int{}
	}
	for _, addr := range after {
		if c.wanted[addr] == nil {
			c.wanted[addr] = map[*engine.Upstream]int{}
		}
		c.wanted[addr][up]++
	}
	for _, addr := range before {
		if c.wanted[addr][up]--; c.wanted[addr][up] == 0 {
			delete(c.wanted[addr], up)
		}
		if len(c.wanted[addr]) == 0 {
			delete(c.wanted, addr)
		}
	}
}

// timeout is connect_timeout of an address, the most patient where several services are there; 0: none, or not of ours.
func (c *connects) timeout(addr string) (longest time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for up := range c.wanted[addr] {
		d := up.ConnectTimeout()
		if d == 0 {
			return 0
		}
		longest = max(longest, d)
	}
	return longest
}

// begin gives a connection so long to become ready.
func (c *connects) begin(conn *tracked, addr string, left time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.begun == nil {
		c.begun = map[string]map[*tracked]*time.Timer{}
	}
	if c.begun[addr] == nil {
		c.begun[addr] = map[*tracked]*time.Timer{}
	}
	conn.addr = addr
	c.begun[addr][conn] = time.AfterFunc(left, conn.interrupt)
}

// ready says that a connection to addr stands. Which one is not known: where several are being made, by ClientConns that
// share their dial options, all of them have until grpc-go's own limit from now on.
func (c *connects) ready(addr string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, limit := range c.begun[addr] {
		limit.Stop()
	}
	delete(c.begun, addr)
}

// over forgets a connection that is closed.
func (c *connects) over(conn *tracked) {
	c.mu.Lock()
	defer c.mu.Unlock()
	limit := c.begun[conn.addr][conn]
	if limit == nil {
		return
	}
	limit.Stop()
	delete(c.begun[conn.addr], conn)
	if len(c.begun[conn.addr]) == 0 {
		delete(c.begun, conn.addr)
	}
}

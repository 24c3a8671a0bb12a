package httpclient

import (
	"maps"
	"sync"
	"sync/atomic"

	"github.com/onehop-go/onehop/internal/engine"
)

// maxHosts bounds what is remembered: a program that makes up hosts pays for each of them anew.
const maxHosts = 1024

// hosts remembers the upstream of each host that was called, so that a call parses no name and takes no lock.
type hosts struct {
	last  atomic.Pointer[known] // most programs call few hosts, and one of them mostly
	known atomic.Pointer[map[string]*engine.Upstream]

	mu     sync.Mutex
	closed bool
}

type known struct {
	host string
	up   *engine.Upstream
}

// find returns nil for a host that is not known.
func (h *hosts) find(host string) *engine.Upstream {
	if k := h.last.Load(); k != nil && k.host == host {
		return k.up
	}
	if m := h.known.Load(); m != nil {
		return (*m)[host]
	}
	return nil
}

func (h *hosts) add(host string, up *engine.Upstream) {
	h.mu.Lock()
	defer h.mu.Unlock()
	next := map[string]*engine.Upstream{host: up}
	if m := h.known.Load(); m != nil {
		if len(*m) >= maxHosts {
			return
		}
		maps.Copy(next, *m)
	}
	if !h.closed {
		h.known.Store(&next)
		h.last.Store(&known{host, up})
	}
}

// close forgets all: the Client, which has closed, will say so.
func (h *hosts) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	h.known.Store(nil)
	h.last.Store(nil)
}

package dialer

import (
	"context"
	"net"
	"time"
)

// Func dials one address, as net.Dialer.DialContext does.
type Func = func(ctx context.Context, network, addr string) (net.Conn, error)

// attemptDelay is how long an address may be silent before the next one is tried beside it (RFC 8305, 5).
const attemptDelay = 250 * time.Millisecond

// First connects to an instance at the first of its addresses that answers. An alternate is tried when the one before it has
// failed or has been silent for attemptDelay; what is still under way once a connection stands is given up. Where all
// fail the error is addr's.
func First(ctx context.Context, dial Func, network, addr string, alternates []string) (net.Conn, error) {
	if len(alternates) == 0 {
		return dial(ctx, network, addr)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r := race{results: make(chan result), over: make(chan struct{})}
	defer close(r.over)
	r.begin(ctx, dial, network, addr)
	silent := time.NewTimer(attemptDelay)
	defer silent.Stop()
	var first error // of addr
	for {
		select {
		case <-silent.C:
		case got := <-r.results:
			if got.err == nil {
				return got.conn, nil
			}
			if got.addr == addr {
				first = got.err
			}
			if r.running--; r.running == 0 && len(alternates) == 0 {
				return nil, first
			}
		}
		if len(alternates) > 0 {
			r.begin(ctx, dial, network, alternates[0])
			alternates = alternates[1:]
			silent.Reset(attemptDelay)
		}
	}
}

// race is the dials to one instance that are under way.
type race struct {
	running int
	results chan result
	over    chan struct{} // closed when nobody listens any more
}

type result struct {
	addr string
	conn net.Conn
	err  error
}

func (r *race) begin(ctx context.Context, dial Func, network, addr string) {
	r.running++
	go func() {
		conn, err := dial(ctx, network, addr)
		select {
		case r.results <- result{addr, conn, err}:
		case <-r.over:
			if err == nil {
				_ = conn.Close()
			}
		}
	}()
}

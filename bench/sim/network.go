package sim

import (
	"context"
	"errors"
	"os"
	"sync"
	"syscall"
	"time"
)

// roundTrip is the time of a dial, or of its refusal.
const roundTrip = 200 * time.Microsecond

var errReset = &os.SyscallError{Syscall: "read", Err: syscall.ECONNRESET}

// network is one client's connections: at most one is needed for each server, as over HTTP/2.
type network struct {
	mu    sync.Mutex
	conns map[*Server]*life
}

// connected returns the living connection to s; nil: it must be dialled.
func (n *network) connected(s *Server) *life {
	n.mu.Lock()
	defer n.mu.Unlock()
	l := n.conns[s]
	if l == nil {
		return nil
	}
	select {
	case <-l.over: // the server closed it
		delete(n.conns, s)
		return nil
	default:
		return l
	}
}

// dial connects to s.
func (n *network) dial(ctx context.Context, s *Server, timeout time.Duration) (*life, error) {
	wait := roundTrip
	if s.state.Load() == blackhole {
		wait = timeout
	}
	if err := pause(ctx, wait); err != nil {
		return nil, err
	}
	switch s.state.Load() {
	case refusing:
		return nil, &os.SyscallError{Syscall: "connect", Err: syscall.ECONNREFUSED}
	case blackhole:
		return nil, os.ErrDeadlineExceeded
	}
	l := s.life.Load()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.conns[s] = l
	return l, nil
}

// redial connects once more and throws the connection away.
func (n *network) redial(ctx context.Context, s *Server, timeout time.Duration) error {
	_, err := (&network{conns: map[*Server]*life{}}).dial(ctx, s, timeout)
	return err
}

// send makes a request on a connection. It returns the status, or an error where the connection broke, the timer fired
// or ctx ended.
func (s *Server) send(ctx context.Context, l *life, path string, timer <-chan time.Time) (int, error) {
	status, done := s.serve(path)
	for {
		select {
		case <-done:
			if s.state.Load() != blackhole {
				return status, nil
			}
			done = nil // the answer travels nowhere
		case <-l.over:
			return 0, errReset
		case <-timer:
			return 0, errTimer
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

var errTimer = errors.New("the attempt's time is over")

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

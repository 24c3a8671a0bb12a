package consulapi

import (
	"net"
	"sync"
)

// connSet knows the open connections, so that all can be closed. The zero value is empty. Safe for concurrent use.
type connSet struct {
	mu   sync.Mutex
	open map[*setConn]struct{}
}

type setConn struct {
	net.Conn
	set *connSet
}

// add takes what a dialer returns.
func (s *connSet) add(conn net.Conn, err error) (net.Conn, error) {
	if err != nil {
		return nil, err
	}
	c := &setConn{Conn: conn, set: s}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		s.open = map[*setConn]struct{}{}
	}
	s.open[c] = struct{}{}
	return c, nil
}

// Close leaves the set.
func (c *setConn) Close() error {
	c.set.mu.Lock()
	delete(c.set.open, c)
	c.set.mu.Unlock()
	return c.Conn.Close()
}

func (s *connSet) close() {
	s.mu.Lock()
	open := s.open
	s.open = nil
	s.mu.Unlock()
	for c := range open {
		_ = c.Conn.Close() // nothing is under way on it
	}
}

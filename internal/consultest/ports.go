package consultest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// Ports come in blocks below the ranges from which systems take the ports of outgoing connections (Linux from 32768,
// others from 49152): a port found free there is not taken by the next connection of somebody's test.
const (
	firstPort = 10_000
	lastPort  = 30_000
	blockSize = 8
)

// ports is a block of ports of 127.0.0.1 that belongs to this process until release, its children alive or not.
type ports struct {
	claim net.Listener // on the block's first port: whoever listens there owns the block
	base  int
}

// claimPorts takes a block in which every port is free for TCP and UDP.
func claimPorts() (*ports, error) {
	const tries = 200
	for range tries {
		base := firstPort + blockSize*rand.IntN((lastPort-firstPort)/blockSize)
		claim, err := net.Listen("tcp", hostPort(base)) //nolint:noctx // a local bind does not block
		if err != nil {
			continue
		}
		p := &ports{claim: claim, base: base}
		if p.free() {
			return p, nil
		}
		p.release()
	}
	return nil, fmt.Errorf("no %d free ports in a row on 127.0.0.1 between %d and %d after %d tries", blockSize, firstPort, lastPort, tries)
}

// port is the i-th port of the block, from 1.
func (p *ports) port(i int) int { return p.base + i }

// addr is the i-th port's address, from 1.
func (p *ports) addr(i int) string { return hostPort(p.base + i) }

func (p *ports) release() { _ = p.claim.Close() }

func (p *ports) free() bool {
	for i := 1; i < blockSize; i++ {
		if bindable(p.addr(i)) != nil {
			return false
		}
	}
	return true
}

// bindable tries addr for TCP and UDP.
func bindable(addr string) error {
	l, err := net.Listen("tcp", addr) //nolint:noctx // a local bind does not block
	if err != nil {
		return err
	}
	u, err := net.ListenPacket("udp", addr) //nolint:noctx // as above
	if err != nil {
		return errors.Join(err, l.Close())
	}
	return errors.Join(l.Close(), u.Close())
}

func hostPort(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// FreeAddr reserves an address of 127.0.0.1 for a child: it stays this process's, the child alive or not, until release.
func FreeAddr() (addr string, release func(), err error) {
	p, err := claimPorts()
	if err != nil {
		return "", nil, err
	}
	return p.addr(1), p.release, nil
}

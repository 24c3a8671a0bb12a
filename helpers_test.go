package onehop_test

import (
	"bufio"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/onehop-go/onehop"
	"github.com/onehop-go/onehop/consul"
	"github.com/onehop-go/onehop/policy"
	"github.com/onehop-go/onehop/resolver"
)

// instance is a TCP server that answers each line with its own address.
type instance struct {
	net.Listener
	mu    sync.Mutex
	conns map[net.Conn]bool
	lines int
}

func startInstance(t *testing.T) *instance {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	i := &instance{Listener: l, conns: map[net.Conn]bool{}}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			i.mu.Lock()
			i.conns[conn] = true
			i.mu.Unlock()
			wg.Go(func() { i.serve(conn) })
		}
	})
	t.Cleanup(func() { i.kill(); wg.Wait() })
	return i
}

func (i *instance) addr() string { return i.Addr().String() }

func (i *instance) serve(conn net.Conn) {
	defer conn.Close() //nolint:errcheck // a test's server
	r := bufio.NewReader(conn)
	for {
		if _, err := r.ReadString('\n'); err != nil {
			return
		}
		i.mu.Lock()
		i.lines++
		i.mu.Unlock()
		if _, err := io.WriteString(conn, i.addr()+"\n"); err != nil {
			return
		}
	}
}

// served is the ledger: how many lines reached the instance.
func (i *instance) served() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.lines
}

// kill ends the instance as SIGKILL would: the listener and every connection.
func (i *instance) kill() {
	_ = i.Close()
	i.mu.Lock()
	defer i.mu.Unlock()
	for c := range i.conns {
		_ = c.Close()
	}
}

// newClient is a client of service "pay" at addrs, with policy p.
func newClient(t *testing.T, p policy.Policy, addrs []string, opts ...onehop.Option) *onehop.Client {
	t.Helper()
	opts = append([]onehop.Option{
		onehop.WithResolver(resolver.Static{"pay": addrs}),
		onehop.WithPolicies(policy.Static{"pay": p}),
		onehop.WithLogger(slog.New(slog.DiscardHandler)),
	}, opts...)
	hop, err := onehop.New(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := hop.Close(); err != nil {
			t.Error(err)
		}
	})
	return hop
}

// ask sends one line over a fresh connection and returns the answer.
func ask(addr string) (string, error) {
	conn, err := net.DialTimeout("tcp", addr, 30*time.Second)
	if err != nil {
		return "", err
	}
	defer conn.Close() //nolint:errcheck // a test's client
	return askOver(conn)
}

func askOver(conn net.Conn) (string, error) {
	if _, err := io.WriteString(conn, "hello\n"); err != nil {
		return "", err
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return "", err
	}
	return line[:len(line)-1], nil
}

func consulAt(addr string) consul.Agent { return consul.Agent{Address: addr} }

func contains(err error, words string) bool {
	return err != nil && strings.Contains(err.Error(), words)
}

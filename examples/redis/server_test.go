package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/onehop-go/onehop/internal/consultest"
)

// serveEnv makes the test's binary a server on the address it holds.
const serveEnv = "EXAMPLE_REDIS_SERVE"

func TestMain(m *testing.M) {
	if addr := os.Getenv(serveEnv); addr != "" {
		if err := serve(addr); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	// After as many failed dials as it has connections, go-redis' pool dials from time to time, sleeping in between; it
	// sees its Close when it wakes up.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial"))
}

// serve is a miniredis until the process is killed.
func serve(addr string) error {
	if err := miniredis.NewMiniRedis().StartAddr(addr); err != nil {
		return err
	}
	select {}
}

// key holds on each server the address of that server.
const key = "instance"

// server is a process: redis-server where it is installed, else a miniredis.
type server struct {
	addr    string
	port    int
	process *consultest.Process
}

// startServer serves until t ends.
func startServer(t *testing.T) *server {
	t.Helper()
	addr, release, err := consultest.FreeAddr()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(release)
	_, service, _ := net.SplitHostPort(addr)
	port, err := net.LookupPort("tcp", service)
	if err != nil {
		t.Fatal(err)
	}
	s := &server{addr: addr, port: port}
	s.start(t)
	t.Cleanup(func() { s.kill(t) })
	return s
}

// start returns when the server answers and holds its key.
func (s *server) start(t *testing.T) {
	t.Helper()
	process, err := consultest.StartProcess(s.command(t))
	if err != nil {
		t.Fatal(err)
	}
	s.process = process
	client := redis.NewClient(&redis.Options{Addr: s.addr})
	defer client.Close() //nolint:errcheck // its connections are done with
	consultest.Until(t, "Redis answers on "+s.addr, func() bool {
		return client.Set(t.Context(), key, s.addr, 0).Err() == nil
	})
}

func (s *server) command(t *testing.T) *exec.Cmd {
	t.Helper()
	if path, err := exec.LookPath("redis-server"); err == nil {
		return exec.Command(path, "--bind", "127.0.0.1", "--port", fmt.Sprint(s.port), "--save", "", "--appendonly", "no")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), serveEnv+"="+s.addr)
	return cmd
}

// kill ends the process as a crash would.
func (s *server) kill(t *testing.T) {
	t.Helper()
	if err := s.process.Kill(); err != nil {
		t.Fatal(err)
	}
}

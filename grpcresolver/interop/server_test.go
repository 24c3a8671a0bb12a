package interop

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/onehop-go/onehop/internal/consultest"
)

var built string // the folder of the program; "": not built yet

// program is grpc-go's own interop server, built once from the module as it is.
var program = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "interop")
	if err != nil {
		return "", err
	}
	built = dir
	path := filepath.Join(dir, "server")
	cmd := exec.CommandContext(context.Background(), "go", "build", "-o", path, "google.golang.org/grpc/interop/server")
	cmd.Env = append(os.Environ(), "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build grpc-go's interop server: %w\n%s", err, out)
	}
	return path, nil
})

// startServers starts grpc-go's interop server n times, each in a process of its own.
func startServers(t *testing.T, n int, flags ...string) (addrs []string) {
	t.Helper()
	for range n {
		addrs = append(addrs, startServer(t, flags...))
	}
	return addrs
}

func startServer(t *testing.T, flags ...string) string {
	t.Helper()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	addr, release, err := consultest.FreeAddr()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(release)
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	p, err := consultest.StartProcess(exec.Command(path, append(flags, "-port="+port)...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Kill() })
	consultest.Until(t, "the interop server", func() bool {
		conn, err := net.DialTimeout("tcp", addr, time.Second)
		if err != nil {
			return false
		}
		return conn.Close() == nil
	})
	return addr
}

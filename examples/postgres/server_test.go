//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/onehop-go/onehop/internal/consultest"
)

// server is a real Postgres in a process and a folder of its own.
type server struct {
	binaries string
	data     string
	port     string
	account  *syscall.SysProcAttr
	process  *consultest.Process
}

// startServer makes a cluster (what Postgres calls its data) and serves it until t ends.
func startServer(t *testing.T, binaries string) *server {
	t.Helper()
	addr, release, err := consultest.FreeAddr()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(release)
	_, port, _ := net.SplitHostPort(addr)
	s := &server{binaries: binaries, port: port, account: account(t)}
	s.makeFolder(t)
	initdb := s.command("initdb", "--username=onehop", "--auth=trust", "--no-sync", "--no-instructions", s.data)
	if said, err := initdb.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, said)
	}
	s.start(t)
	t.Cleanup(func() { s.stop(t) })
	return s
}

// findBinaries returns the folder of the server's programs: Debian keeps them off the PATH, several versions side by side.
func findBinaries(t *testing.T) string {
	t.Helper()
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb") // the pattern is right
	if path, err := exec.LookPath("initdb"); err == nil {
		found = append(found, path)
	}
	if len(found) == 0 {
		t.Skip("no Postgres server is installed: initdb is neither on PATH nor under /usr/lib/postgresql")
	}
	return filepath.Dir(slices.Max(found))
}

// account is who runs Postgres, which refuses to be run by root; nil: who runs the test.
func account(t *testing.T) *syscall.SysProcAttr {
	t.Helper()
	if os.Geteuid() != 0 {
		return nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, errUID := strconv.ParseUint(u.Uid, 10, 32)
		gid, errGID := strconv.ParseUint(u.Gid, 10, 32)
		if err := errors.Join(errUID, errGID); err != nil {
			t.Fatal(err)
		}
		return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	}
	t.Skip("the test runs as root, which Postgres refuses, and there is no account postgres or nobody to run it as")
	return nil
}

// makeFolder makes one of the account's own: t.TempDir would lie in a folder that only root may enter.
func (s *server) makeFolder(t *testing.T) {
	t.Helper()
	dir, err := os.MkdirTemp("", "onehop-postgres-") //nolint:usetesting // see above
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if s.account != nil {
		err = os.Chown(dir, int(s.account.Credential.Uid), int(s.account.Credential.Gid))
	}
	if err != nil {
		t.Fatal(err)
	}
	s.data = dir
}

func (s *server) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(s.binaries, name), args...)
	cmd.Dir = s.data // the account may not be allowed where the test is
	if s.account != nil {
		own := *s.account
		cmd.SysProcAttr = &own
	}
	return cmd
}

// start returns when the server answers.
func (s *server) start(t *testing.T) {
	t.Helper()
	process, err := consultest.StartProcess(s.command("postgres", "-D", s.data, "-p", s.port,
		"-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "fsync=off"))
	if err != nil {
		t.Fatal(err)
	}
	s.process = process
	consultest.Until(t, "Postgres answers on port "+s.port, func() bool {
		select {
		case <-process.Done():
			t.Fatalf("Postgres on port %s ended at its start:\n%s", s.port, process.Tail())
		default:
		}
		return s.ping(t.Context()) == nil
	})
}

func (s *server) ping(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, fmt.Sprintf("postgres://onehop@127.0.0.1:%s/postgres?sslmode=disable", s.port))
	if err != nil {
		return err
	}
	return conn.Close(ctx)
}

// kill is SIGKILL to the postmaster. The processes of its connections see that and end.
func (s *server) kill(t *testing.T) {
	t.Helper()
	if err := s.process.Kill(); err != nil {
		t.Fatal(err)
	}
}

// stop ends the server. One that was killed leaves shared memory behind, which only its next start takes away.
func (s *server) stop(t *testing.T) {
	t.Helper()
	select {
	case <-s.process.Done():
		process, err := consultest.StartProcess(s.command("postgres", "--single", "-D", s.data, "postgres"))
		if err != nil {
			t.Fatal(err)
		}
		s.process = process
		<-process.Done() // it has no input, and so nothing to do after the recovery
	default:
		if err := syscall.Kill(s.process.PID(), syscall.SIGINT); err != nil { // "fast": connections are cut
			t.Fatal(err)
		}
		if err := s.process.Stop(10 * time.Second); err != nil {
			t.Fatal(err)
		}
	}
	if said := s.process.Tail(); t.Failed() {
		t.Logf("Postgres on port %s said last:\n%s", s.port, said)
	}
}

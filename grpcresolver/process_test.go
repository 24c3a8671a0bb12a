//go:build unix

package grpcresolver

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	pb "google.golang.org/grpc/interop/grpc_testing"

	"github.com/onehop-go/onehop"
	"github.com/onehop-go/onehop/policy"
	"github.com/onehop-go/onehop/resolver"
)

// serverProcess is set in the environment of the test binary where it is to be a server: one in a process of its own can be
// stopped and killed as a process is.
const serverProcess = "ONEHOP_TEST_GRPC_SERVER"

func runServerProcess() {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	s := grpc.NewServer()
	pb.RegisterTestServiceServer(s, &server{ledger: &executions{}, addr: lis.Addr().String()})
	fmt.Println(lis.Addr())
	_ = s.Serve(lis)
}

func startProcess(t *testing.T) (addr string, p *os.Process) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), serverProcess+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	addr, err = bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(addr), cmd.Process
}

// A process that is stopped keeps its connections and answers nothing: attempt timeouts move its calls on, and its breaker
// opens, so that soon no call waits for it.
func TestStoppedProcessIsLeft(t *testing.T) {
	stoppedAddr, p := startProcess(t)
	good, _ := startProcess(t)
	quick := fast()
	// The good one may be slow on a busy machine, too, and a call's last attempt has all the time that is left.
	quick.AttemptTimeout, quick.Retry.MaxAttempts, quick.Budget.Min = 100*time.Millisecond, 5, 100
	quick.LoadBalancing.Algorithm = policy.RoundRobin // it gets its turn whatever it looked like before
	waited := make(chan struct{}, 1000)               // for attempts that the stopped process did not answer
	hop, err := onehop.New(onehop.WithResolver(resolver.Static{"inventory": {stoppedAddr, good}}),
		onehop.WithPolicies(policy.Static{"inventory": quick}), onehop.WithLogger(slog.New(slog.DiscardHandler)),
		onehop.WithObserver(onehop.Observer{AttemptDone: func(_ context.Context, a onehop.Attempt) {
			if a.Endpoint.Addr == stoppedAddr && a.Outcome != onehop.OutcomeOK {
				waited <- struct{}{}
			}
		}}))
	if err != nil {
		t.Fatal(err)
	}
	defer hop.Close() //nolint:errcheck // a test's
	_, client := dial(t, hop)
	served := map[string]bool{}
	one := func(i int) string {
		r, err := client.UnaryCall(call(t, fmt.Sprint("p", i), onehop.Idempotent()), &pb.SimpleRequest{})
		if err != nil {
			t.Fatal(i, err)
		}
		return r.GetServerId()
	}
	for i := 0; len(served) < 2; i++ {
		served[one(i)] = true
	}
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for i := range 500 {
		one(1000 + i)
	}
	if n := len(waited); n == 0 || n > 50 {
		t.Errorf("%d of 500 calls waited for the stopped process", n)
	}
	if err := p.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
}

// A killed process answers with a reset or a refused connection: every call moves on.
func TestKilledProcessIsLeft(t *testing.T) {
	dying, p := startProcess(t)
	good, _ := startProcess(t)
	hop, _ := hopTo(t, fast(), dying, good)
	_, client := dial(t, hop)
	for i := range 400 {
		if i == 100 {
			if err := p.Signal(syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := client.UnaryCall(call(t, fmt.Sprint("k", i), onehop.Idempotent()), &pb.SimpleRequest{}); err != nil {
			t.Fatal(i, err)
		}
	}
}

// cpu is what this process has used.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

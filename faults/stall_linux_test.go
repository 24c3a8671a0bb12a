package faults

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/onehop-go/onehop"
	"github.com/onehop-go/onehop/policy"
)

// envStall makes this binary a caller of the addresses it names, which is going to be stopped.
const envStall = "ONEHOP_FAULTS_STALL"

// A caller that stood still (SIGSTOP, a garbage collection, a CPU quota) blames nobody for the time it lost: of two quick
// endpoints and one that takes its time, the slow one has calls in flight when the caller stops.
func TestOurOwnStallOpensNobody(t *testing.T) {
	if list := os.Getenv(envStall); list != "" {
		stalling(t, strings.Split(list, " "))
		return
	}
	t.Parallel()
	servers := newServers(t, 3)
	var hold sync.RWMutex // the slow one's answers do not come while the caller stands still, nor just after
	servers[0].behave(func(_ http.ResponseWriter, r *http.Request) {
		after(150*time.Millisecond)(nil, r)
		hold.RLock()
		defer hold.RUnlock()
	})
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, "-test.run=^"+t.Name()+"$", "-test.timeout=1m")
	cmd.Env = append(os.Environ(), envStall+"="+strings.Join(addrs(servers), " "))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() && lines.Text() != "busy" {
		t.Log(lines.Text())
	}
	for range 3 {
		hold.Lock()
		_ = cmd.Process.Signal(syscall.SIGSTOP)
		time.Sleep(2 * time.Second) // the stall
		_ = cmd.Process.Signal(syscall.SIGCONT)
		time.Sleep(150 * time.Millisecond)
		hold.Unlock()
		time.Sleep(500 * time.Millisecond)
	}
	for lines.Scan() {
		t.Log(lines.Text())
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the caller blamed somebody: %v", err)
	}
}

func stalling(t *testing.T, list []string) {
	t.Helper()
	p := policy.Default()
	p.AttemptTimeout = time.Second
	p.LoadBalancing.Algorithm = policy.RoundRobin
	var e eye
	web := webOf(t, static(t, p, list, e.option()))
	tr := driveBy(t, 150, func(ctx context.Context) outcome {
		return call(ctx, web, http.MethodGet, "http://pay/")
	})
	tr.more(150)
	fmt.Println("busy")
	tr.more(450)
	tr.stop()
	late := 0
	e.look(func() {
		for _, a := range e.attempts {
			if a.Outcome != onehop.OutcomeOK {
				late++
			}
		}
	})
	fmt.Println("attempts that ended late:", late, "opened:", e.openings())
	if late == 0 {
		t.Error("nothing was caught by the stall")
	}
	if n := len(e.openings()); n != 0 {
		t.Errorf("%d endpoints were opened for our own stall", n)
	}
}

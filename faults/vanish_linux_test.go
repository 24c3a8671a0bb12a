package faults

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/onehop-go/onehop"
	"github.com/onehop-go/onehop/httpclient"
	"github.com/onehop-go/onehop/internal/consultest"
	"github.com/onehop-go/onehop/policy"
)

// swallow is an address whose host answers no SYN: a listener whose queue is full. It needs no privilege.
func swallow(t *testing.T) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	four, ok := name.(*syscall.SockaddrInet4)
	if !ok {
		t.Fatal("no IPv4 address")
	}
	addr := fmt.Sprint("127.0.0.1:", four.Port)
	for range 20 { // fills the queue
		c, err := net.DialTimeout("tcp", addr, 300*time.Millisecond)
		if err != nil {
			return addr
		}
		t.Cleanup(func() { _ = c.Close() })
	}
	t.Skip("this kernel does not drop the SYNs to a full queue")
	return ""
}

// What a real kernel does with dials that nobody answers. How many calls meet them in the meantime is the machine's speed as
// well: TestRow29Swallowed counts them.
func TestRow29SYNBlackhole(t *testing.T) {
	t.Parallel()
	row(t, 29)
	hole := swallow(t)
	servers := newServers(t, 4)
	p := policy.Default()
	p.ConnectTimeout = 500 * time.Millisecond
	touches := lateTouches{addr: hole}
	web := webOf(t, static(t, p, append(addrs(servers), hole), touches.option()))
	tr := drive(t, web, "http://pay/", 100)
	await(t, "it is opened", touches.opened)
	tr.more(1000)
	tr.stop().wantNoneFailed(t)
	before, after := touches.counts()
	figuref(t, "%d calls touched it before it was opened, %d after", before, after)
	if before == 0 || after > 0 {
		t.Errorf("%d calls touched it before it was opened, want some; %d after, want none", before, after)
	}
}

// A process that is stopped keeps its connections and answers nothing.
func TestRow35ProcessStopped(t *testing.T) {
	t.Parallel()
	row(t, 35)
	var instances []*consultest.Instance
	var list []string
	for range 3 {
		i := consultest.StartInstance(t, consultest.Name(t, "stopped"))
		instances, list = append(instances, i), append(list, i.Addr)
	}
	p := policy.Default()
	p.AttemptTimeout = 500 * time.Millisecond
	var e eye
	web := webOf(t, static(t, p, list, e.option()), httpclient.WithTransport(priorKnowledge()))
	tr := drive(t, web, "http://pay/", 50)
	tr.more(150)
	instances[0].Pause(t)
	at := tr.count()
	await(t, "a call meets it", func() bool { return caught(&e, list[0]) > 0 })
	tr.more(500)
	hung := 0
	var last time.Time
	e.look(func() {
		for _, a := range e.attempts {
			if a.Endpoint.Addr == list[0] && a.Outcome != onehop.OutcomeOK {
				hung, last = hung+1, a.Start
			}
		}
	})
	instances[0].Resume(t)
	all := tr.stop()
	all.wantNoneFailed(t)
	figuref(t, "over HTTP/2, stopped: %d of %d calls met it, the last %s before the end", hung, len(all)-at, time.Since(last).Round(time.Second))
	if hung > 50 {
		t.Errorf("%d of %d calls met the stopped process; it was not left", hung, len(all)-at)
	}
}

// envVanish makes this binary the server that will vanish.
const envVanish = "ONEHOP_FAULTS_VANISH"

func init() {
	if addr := os.Getenv(envVanish); addr != "" {
		_, _ = bufio.NewReader(os.Stdin).ReadString('\n') // until the address is there
		var p http.Protocols
		p.SetHTTP1(true)
		p.SetUnencryptedHTTP2(true)
		go serveEcho(addr)
		s := &http.Server{Addr: addr, Protocols: &p, ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set(consultest.InstanceHeader, addr)
		})}
		fmt.Fprintln(os.Stderr, s.ListenAndServe())
		os.Exit(1)
	}
}

// envNamespace says that the test runs in a network of its own.
const envNamespace = "ONEHOP_FAULTS_NAMESPACE"

// inNamespace runs t's test again in a process with a network of its own, and reports whether t is that process.
func inNamespace(t *testing.T) bool {
	t.Helper()
	if os.Getenv(envNamespace) != "" {
		return true
	}
	if os.Geteuid() != 0 {
		t.Skip("a network namespace needs root")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("a network namespace needs the ip command: ", err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=3m")
	cmd.Env = append(os.Environ(), envNamespace+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	out, err := cmd.CombinedOutput()
	for line := range strings.Lines(string(out)) {
		if _, attr, ok := strings.Cut(line, "=== ATTR  "+t.Name()+" figure "); ok {
			figuref(t, "%s", strings.TrimSpace(attr))
		}
	}
	if err != nil {
		if strings.Contains(err.Error(), "operation not permitted") {
			t.Skip("a network namespace is not allowed here: ", err)
		}
		t.Fatalf("%v\n%s", err, out)
	}
	return false
}

func run(t *testing.T, command string) {
	t.Helper()
	args := strings.Fields(command)
	if out, err := exec.CommandContext(t.Context(), args[0], args[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", command, err, out)
	}
}

// gone is where the server is that will vanish: HTTP on this port, gRPC on the next.
const gone = "10.99.0.2:80"

// overThere starts the server in a network behind a cable, and returns what runs a command there.
func overThere(t *testing.T) (there string) {
	t.Helper()
	self, _ := os.Executable()
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), envVanish+"="+gone)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	pid := cmd.Process.Pid
	there = fmt.Sprintf("nsenter -t %d -n ", pid)
	run(t, "ip link set lo up")
	run(t, "ip link add v0 type veth peer name v1 address 02:00:00:00:00:02")
	run(t, fmt.Sprintf("ip link set v1 netns %d", pid))
	run(t, "ip addr add 10.99.0.1/24 dev v0")
	run(t, "ip link set v0 up")
	run(t, there+"ip addr add 10.99.0.2/24 dev v1")
	run(t, there+"ip link set v1 up")
	run(t, "ip neigh replace 10.99.0.2 lladdr 02:00:00:00:00:02 dev v0 nud permanent") // nobody says that it is unreachable
	_, _ = stdin.Write([]byte("\n"))
	await(t, "the server over there", func() bool {
		c, err := net.DialTimeout("tcp", gone, time.Second)
		if err != nil {
			return false
		}
		return c.Close() == nil
	})
	return there
}

// cut pulls the cable, and mend puts it back.
func cut(t *testing.T, there string) {
	t.Helper()
	run(t, there+"ip addr del 10.99.0.2/24 dev v1")
}

func mend(t *testing.T, there string) {
	t.Helper()
	run(t, there+"ip addr add 10.99.0.2/24 dev v1")
}

// A host whose cable is cut: its connections stand, and nobody says that they are dead.
func TestRow35HostVanishes(t *testing.T) { //nolint:tparallel // one cable is cut after the other
	t.Parallel()
	row(t, 35)
	if !inNamespace(t) {
		return
	}
	there := overThere(t)
	for _, h2 := range []bool{false, true} {
		t.Run(fmt.Sprint("HTTP/2 ", h2), func(t *testing.T) { vanish(t, h2, there) })
	}
}

func vanish(t *testing.T, h2 bool, there string) {
	t.Helper()
	base := &http.Transport{}
	if h2 {
		base = priorKnowledge()
	}
	s := newServer(t)
	var e eye
	// No attempt_timeout: it is the connection that must find out.
	web := webOf(t, static(t, policy.Default(), []string{s.addr, gone}, e.option()), httpclient.WithTransport(base))
	tr := driveBy(t, 20, func(ctx context.Context) outcome { return call(ctx, web, http.MethodGet, "http://pay/") })
	tr.until("both are called", func(all []outcome) bool { return len(all) > 20 && all[len(all)-1].instance == gone })
	cut(t, there)
	start := time.Now()
	tr.until("a call that was caught is over", func([]outcome) bool { return caught(&e, gone) > 0 })
	over := time.Since(start)
	tr.more(20)
	all := tr.stop()
	slowest := all.quantile(1)
	mend(t, there)
	for _, o := range all { // over HTTP/2 all calls in flight share the one connection, and fail at one moment
		if !o.ok() && onehop.ReasonOf(o.err) != onehop.ReasonBudget {
			t.Errorf("%s: %v", o.id, o.err)
		}
	}
	figuref(t, "vanished, HTTP/2 %v: noticed after %s, the slowest call took %s, %d of %d calls beyond the budget",
		h2, over.Round(time.Millisecond), slowest.Round(time.Millisecond), all.failed(), len(all))
	if slowest > 20*time.Second { // 15 s, and a loaded machine
		t.Errorf("a call waited %s; want 15 s", slowest)
	}
}

// caught is the attempts at an endpoint that did not go well.
func caught(e *eye, addr string) (n int) {
	e.look(func() {
		for _, a := range e.attempts {
			if a.Endpoint.Addr == addr && a.Outcome != onehop.OutcomeOK {
				n++
			}
		}
	})
	return n
}

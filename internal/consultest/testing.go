package consultest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"net/http"
	"net/url"
	"os"
	"time"
)

// Start gives t a dev agent, killed when t ends, or the shared agent of CONSUL_HTTP_ADDR. It skips t when an option
// needs an agent that the shared one is not.
func Start(t TB, opts ...Option) *Agent {
	t.Helper()
	progress, closeProgress := terminalOr(os.Stderr)
	defer closeProgress()
	// No deadline here: a first build on a slow machine takes what it takes; go test's -timeout bounds it.
	a, err := Run(context.Background(), progress, opts...)
	if errors.Is(err, errShared) {
		t.Skipf("%v", err)
	}
	if err != nil {
		t.Fatalf("%v", err)
	}
	if a.shared {
		return a
	}
	t.Cleanup(func() { a.end(t) })
	return a
}

// end kills an agent of our own: there is nothing to be orderly about.
func (a *Agent) end(t TB) {
	defer a.ports.release()
	if a.proc == nil { // it never started
		return
	}
	if err := a.proc.Kill(); err != nil {
		t.Logf("kill consul: %v", err)
	}
	if said := a.proc.tail.String(); t.Failed() && said != "" {
		t.Logf("consul said last:\n%s", said)
	}
}

// Name makes a service name no other test uses: prefix, a dash and eight hexadecimal digits.
func Name(t TB, prefix string) string {
	t.Helper()
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails since Go 1.24
	return prefix + "-" + hex.EncodeToString(b[:])
}

// Addr is an address of 127.0.0.1 that is t's until it ends: nobody else's test listens there, and whoever dials it before t
// does, or after, is refused.
func Addr(t TB) string {
	t.Helper()
	addr, release, err := FreeAddr()
	must(t, err)
	t.Cleanup(release)
	return addr
}

// Do is one raw request to the HTTP API; anything but 200 fails t. A body that is no []byte or string is sent as JSON.
func (a *Agent) Do(t TB, method, path string, body any) []byte {
	t.Helper()
	ctx, cancel := bound()
	defer cancel()
	answer, err := a.call(ctx, method, path, body)
	must(t, err)
	return answer
}

// Register registers s until t ends, and returns its ID.
func (a *Agent) Register(t TB, s Service) string {
	t.Helper()
	ctx, cancel := bound()
	defer cancel()
	id, err := a.RegisterService(ctx, s)
	must(t, err)
	t.Cleanup(func() { // only a shared agent outlives t
		if a.shared {
			ctx, cancel := bound()
			defer cancel()
			_ = a.DeregisterService(ctx, id) // the test may have done so itself
		}
	})
	return id
}

// Deregister takes an instance out of the catalogue.
func (a *Agent) Deregister(t TB, id string) {
	t.Helper()
	a.Do(t, http.MethodPut, "/v1/agent/service/deregister/"+url.PathEscape(id), nil)
}

// SetStatus sets the check of an instance registered with the TTL check: "passing", "warning" or "critical".
func (a *Agent) SetStatus(t TB, id, status string) {
	t.Helper()
	a.Do(t, http.MethodPut, "/v1/agent/check/update/service:"+url.PathEscape(id), map[string]string{"Status": status})
}

// Maintenance puts an instance into maintenance, or takes it out.
func (a *Agent) Maintenance(t TB, id string, on bool) {
	t.Helper()
	enable := "false"
	if on {
		enable = "true"
	}
	a.Do(t, http.MethodPut, "/v1/agent/service/maintenance/"+url.PathEscape(id)+"?enable="+enable+"&reason=test", nil)
}

// KVPut writes a key until t ends.
func (a *Agent) KVPut(t TB, key, value string) {
	t.Helper()
	a.Do(t, http.MethodPut, "/v1/kv/"+key, value)
	t.Cleanup(func() {
		if a.shared {
			ctx, cancel := bound()
			defer cancel()
			_ = a.DeleteKey(ctx, key) // as above
		}
	})
}

// KVDelete deletes a key.
func (a *Agent) KVDelete(t TB, key string) {
	t.Helper()
	a.Do(t, http.MethodDelete, "/v1/kv/"+key, nil)
}

// Kill ends the agent as a crash would. Clients see refused connections until Restart.
func (a *Agent) Kill(t TB) {
	t.Helper()
	a.control(t, a.KillNow)
}

// Restart starts the agent on the same ports, empty, ending it first if it runs.
func (a *Agent) Restart(t TB) {
	t.Helper()
	a.control(t, func() error { return a.StartAgain(context.Background()) }) // bounded by patience within
}

// Pause stops the agent's process without ending it: connections stay, nothing answers.
func (a *Agent) Pause(t TB) {
	t.Helper()
	a.control(t, a.proc.Pause)
}

// Resume lets a paused agent run on.
func (a *Agent) Resume(t TB) {
	t.Helper()
	a.control(t, a.proc.Resume)
}

// control runs f on an agent of our own, and skips t on a shared one.
func (a *Agent) control(t TB, f func() error) {
	t.Helper()
	if a.shared {
		t.Skipf("%v", errShared)
	}
	must(t, f())
}

func must(t TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%v", err)
	}
}

func bound() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), patience)
}

// Until waits until ok says true, and fails t with what it waited for when patience has run out. For what Consul does
// in its own time; where a channel or a blocking query tells, wait on that instead.
func Until(t TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("waited %s in vain: %s", patience, what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

package consultest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
)

// Instance is an HTTP service in a process of its own: HTTP/1.1, and HTTP/2 with prior knowledge, on every path.
// Answers carry InstanceHeader and the ID as their body.
type Instance struct {
	ID   string
	Addr string // "127.0.0.1:port"; the same after a restart
	Port int

	control string
	ports   *ports
	proc    *Process
	stdin   io.Closer // its end ends the child
	http    *http.Client
}

// RunInstance starts an instance. The caller ends it with Close. The process is this program's own binary, which turns
// into an instance before main begins.
func RunInstance(id string) (*Instance, error) {
	p, err := claimPorts()
	if err != nil {
		return nil, err
	}
	i := &Instance{ID: id, Addr: p.addr(1), Port: p.port(1), control: p.addr(2), ports: p, http: apiClient()}
	if err := i.start(); err != nil {
		p.release()
		return nil, err
	}
	return i, nil
}

// start runs the process and waits until it listens.
func (i *Instance) start() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(self) //nolint:noctx // it lives until it is killed, not for a call
	cmd.Env = append(os.Environ(), envInstance+"="+i.ID, envAddr+"="+i.Addr, envControl+"="+i.control)
	if i.stdin, err = cmd.StdinPipe(); err != nil {
		return err
	}
	r, w, err := os.Pipe() // not StdoutPipe: Wait, which runs at once, would close it under the reader
	if err != nil {
		return err
	}
	cmd.Stdout = w
	i.proc, err = StartProcess(cmd)
	_ = w.Close()
	if err == nil {
		if err = awaitReady(r); err != nil {
			err = errors.Join(fmt.Errorf("%w\n%s", err, i.proc.tail), i.proc.Kill())
		}
	}
	return errors.Join(err, r.Close())
}

// Close ends the instance and frees its address.
func (i *Instance) Close() error {
	err := i.proc.Kill()
	_ = i.stdin.Close() // may be closed already by the child's end
	i.ports.release()
	return err
}

// KillNow ends the process as a crash would: callers see refused connections.
func (i *Instance) KillNow() error { return i.proc.Kill() }

// StartAgain starts a new process on the same address, ending the old one first. Behaviour and ledger begin anew.
func (i *Instance) StartAgain() error {
	if err := i.proc.Kill(); err != nil {
		return err
	}
	_ = i.stdin.Close() // as in Close
	return i.start()
}

// SetBehaviour changes how the instance treats calls from now on.
func (i *Instance) SetBehaviour(ctx context.Context, b Behaviour) error {
	content, err := json.Marshal(b)
	if err != nil {
		return err
	}
	_, err = i.ask(ctx, http.MethodPut, "/behave", content)
	return err
}

// ReadLedger returns what the process has seen since its start.
func (i *Instance) ReadLedger(ctx context.Context) (Ledger, error) {
	var l Ledger
	answer, err := i.ask(ctx, http.MethodGet, "/ledger", nil)
	if err == nil {
		err = json.Unmarshal(answer, &l)
	}
	return l, err
}

// ask is one request at the control door.
func (i *Instance) ask(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+i.control+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	resp, err := i.http.Do(req)
	if err != nil {
		return nil, err
	}
	answer, err := io.ReadAll(resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("instance %s: %s: %s", i.ID, path, answer)
	}
	return answer, nil
}

// Service is the instance as an entry of the catalogue under name.
func (i *Instance) Service(name string) Service {
	return Service{ID: name + "-" + strconv.Itoa(i.Port), Name: name, Port: i.Port}
}

// StartInstance starts an instance that ends with t.
func StartInstance(t TB, id string) *Instance {
	t.Helper()
	i, err := RunInstance(id)
	must(t, err)
	t.Cleanup(func() {
		if err := i.Close(); err != nil {
			t.Logf("end instance %s: %v", id, err)
		}
	})
	return i
}

// StartService starts count instances and registers them with a under name, until t ends.
func StartService(t TB, a *Agent, name string, count int) []*Instance {
	t.Helper()
	var all []*Instance
	for n := range count {
		i := StartInstance(t, fmt.Sprintf("%s-%c", name, 'a'+n))
		a.Register(t, i.Service(name))
		all = append(all, i)
	}
	return all
}

// Behave changes how the instance treats calls from now on.
func (i *Instance) Behave(t TB, b Behaviour) {
	t.Helper()
	ctx, cancel := bound()
	defer cancel()
	must(t, i.SetBehaviour(ctx, b))
}

// Ledger returns what the process has seen since its start.
func (i *Instance) Ledger(t TB) Ledger {
	t.Helper()
	ctx, cancel := bound()
	defer cancel()
	l, err := i.ReadLedger(ctx)
	must(t, err)
	return l
}

// Kill ends the process as a crash would: callers see refused connections.
func (i *Instance) Kill(t TB) {
	t.Helper()
	must(t, i.KillNow())
}

// Restart starts a new process on the same address.
func (i *Instance) Restart(t TB) {
	t.Helper()
	must(t, i.StartAgain())
}

// Pause stops the process without ending it: connections stay, nothing answers.
func (i *Instance) Pause(t TB) {
	t.Helper()
	must(t, i.proc.Pause())
}

// Resume lets a paused process run on.
func (i *Instance) Resume(t TB) {
	t.Helper()
	must(t, i.proc.Resume())
}

package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"github.com/onehop-go/onehop/internal/consultest"
)

// instance is the show's handle on an instance's process.
type instance struct {
	name, service, protocol string
	addr                    string // kept over restarts
	consul                  string
	release                 func()
	proc                    *consultest.Process
	stdin                   io.WriteCloser
}

// newInstance starts an instance on an address of its own.
func newInstance(name, service, protocol, consul string) (*instance, error) {
	addr, release, err := consultest.FreeAddr()
	if err != nil {
		return nil, err
	}
	i := &instance{name: name, service: service, protocol: protocol, addr: addr, consul: consul, release: release}
	if err := i.start(); err != nil {
		release()
		return nil, err
	}
	return i, nil
}

// start runs the process and waits until it listens.
func (i *instance) start() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(self, instanceCommand, "-service", i.service, "-id", i.name, "-protocol", i.protocol, //nolint:noctx // it lives until told
		"-addr", i.addr, "-consul", i.consul)
	if i.stdin, err = cmd.StdinPipe(); err != nil {
		return err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close() //nolint:errcheck // only read from
	cmd.Stdout = w
	i.proc, err = consultest.StartProcess(cmd)
	_ = w.Close() // the child has its own
	if err != nil {
		return err
	}
	if line, err := bufio.NewReader(r).ReadString('\n'); err != nil {
		return errors.Join(fmt.Errorf("%s said %q instead of ready: %w\n%s", i.name, line, err, i.proc.Tail()), i.proc.Kill())
	}
	return nil
}

// tell gives the instance a command: "slow 300ms", "fail" or "recover".
func (i *instance) tell(command string) error {
	_, err := fmt.Fprintln(i.stdin, command)
	return err
}

// kill ends the process as a crash would.
func (i *instance) kill() error { return i.proc.Kill() }

// leave ends it as a deployment would: out of the catalogue, the last calls, gone.
func (i *instance) leave() error {
	const grace = 5 * time.Second
	return i.proc.Stop(grace)
}

// close ends whatever still runs of it.
func (i *instance) close() error {
	err := i.proc.Kill()
	_ = i.stdin.Close() // closed already if the child has ended
	i.release()
	return err
}

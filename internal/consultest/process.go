package consultest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"time"
)

// Process is a child that was started, and is waited for exactly once.
type Process struct {
	cmd  *exec.Cmd
	tail *tail         // the end of what it wrote
	done chan struct{} // closed when it has ended
	err  error         // how it ended; read after done
}

// StartProcess starts cmd so that it dies with this process. Stdout, when not set, goes to the tail with stderr.
func StartProcess(cmd *exec.Cmd) (*Process, error) {
	p := &Process{cmd: cmd, tail: &tail{}, done: make(chan struct{})}
	cmd.Stderr = p.tail
	if cmd.Stdout == nil {
		cmd.Stdout = p.tail
	}
	dieWithParent(cmd)
	started := make(chan error, 1)
	go func() {
		// The kernel sends the parent-death signal when the thread that forked ends, not the process
		// (prctl(2), PR_SET_PDEATHSIG): so this thread stays until the child has ended.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			p.err = cmd.Wait()
		}
		close(p.done)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	return p, nil
}

// Kill ends the child at once, paused or not, and waits until it is gone.
func (p *Process) Kill() error {
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-p.done
	return nil
}

// Stop asks the child to end and kills it when it has not within grace.
func (p *Process) Stop(grace time.Duration) error {
	if err := terminate(p.cmd.Process); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return p.Kill()
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-p.done:
		return nil
	case <-timer.C:
		return p.Kill()
	}
}

// Pause stops the child without ending it: its connections stay, nothing answers.
func (p *Process) Pause() error { return pause(p.cmd.Process) }

// Resume lets a paused child run on.
func (p *Process) Resume() error { return resume(p.cmd.Process) }

// PID is the child's number.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed when the child has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Tail is the end of what the child wrote to stderr.
func (p *Process) Tail() string { return p.tail.String() }

// tail keeps the last bytes written to it: enough to say why a child ended.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

const tailSize = 16 << 10

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, b...)
	if over := len(t.buf) - tailSize; over > 0 {
		t.buf = append(t.buf[:0], t.buf[over:]...)
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.buf)
}

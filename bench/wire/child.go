package wire

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/onehop-go/onehop/internal/consultest"
)

// child is this program run again in a role. It is asked one thing at a time.
type child struct {
	role    role
	proc    *consultest.Process
	stdin   io.WriteCloser
	answers *os.File
	ask     *json.Encoder
	replies *json.Decoder
}

// startChild runs the role and waits until it is set up. The caller ends it with stop.
func startChild(ctx context.Context, r role, setup any) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self) //nolint:noctx // it lives until stop, not for a call
	cmd.Env = append(plainEnv(os.Environ()), envRole+"="+string(r))
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	answers, w, err := os.Pipe() // not its stdout: a library that this program links may write there, as go-zero's does
	if err != nil {
		return nil, err
	}
	cmd.ExtraFiles = []*os.File{w} // answersFile there
	proc, err := consultest.StartProcess(cmd)
	_ = w.Close()
	if err != nil {
		return nil, errors.Join(err, answers.Close())
	}
	c := &child{role: r, proc: proc, stdin: stdin, answers: answers, ask: json.NewEncoder(stdin), replies: json.NewDecoder(answers)}
	if err := c.do(ctx, setup, nil); err != nil {
		c.stop()
		return nil, err
	}
	return c, nil
}

// do sends a request and waits for its answer, which it decodes into answer unless that is nil. The end of ctx ends the
// child: what it would say later belongs to nobody.
func (c *child) do(ctx context.Context, request, answer any) error {
	defer context.AfterFunc(ctx, func() { _ = c.proc.Kill() })()
	if err := c.ask.Encode(request); err != nil {
		return c.lost(ctx, err)
	}
	var got struct {
		Answer json.RawMessage
		Error  string
	}
	if err := c.replies.Decode(&got); err != nil {
		return c.lost(ctx, err)
	}
	if got.Error != "" {
		return fmt.Errorf("%s: %s", c.role, got.Error)
	}
	if answer == nil {
		return nil
	}
	if err := json.Unmarshal(got.Answer, answer); err != nil {
		return fmt.Errorf("%s answered %d bytes, %.80q: %w", c.role, len(got.Answer), got.Answer, err)
	}
	return nil
}

// lost says why a child no longer answers.
func (c *child) lost(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("the %s process ended: %w\n%s", c.role, err, c.proc.Tail())
}

// stop ends the child and waits until it is gone.
func (c *child) stop() {
	_ = c.stdin.Close() // asks it to end
	select {
	case <-c.proc.Done():
	case <-time.After(2 * time.Second):
		_ = c.proc.Kill()
	}
	_ = c.answers.Close()
}

// kill ends the child as a crash would.
func (c *child) kill() error { return c.proc.Kill() }

// pids is the child alone.
func (c *child) pids() []int { return []int{c.proc.PID()} }

// plainEnv drops what would send calls elsewhere or configure a library: the proxies, Consul's and onehop's variables.
func plainEnv(env []string) []string {
	var kept []string
	for _, e := range env {
		name, _, _ := strings.Cut(e, "=")
		switch upper := strings.ToUpper(name); {
		case strings.HasSuffix(upper, "_PROXY"), strings.HasPrefix(upper, "CONSUL_"), strings.HasPrefix(upper, "ONEHOP_"):
		default:
			kept = append(kept, e)
		}
	}
	return kept
}

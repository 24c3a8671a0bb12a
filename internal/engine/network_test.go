package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"

	"github.com/onehop-go/onehop/internal/health"
)

// TestNetwork: errors are told apart by their kind and place, however they are wrapped.
func TestNetwork(t *testing.T) {
	op := func(op string, err error) error {
		return fmt.Errorf("wrapped: %w", &net.OpError{Op: op, Net: "tcp", Err: os.NewSyscallError("x", err)})
	}
	timeout := &net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}
	rows := []struct {
		name    string
		err     error
		known   bool
		outcome health.Outcome
		kind    Kind
		unsent  bool
	}{
		{"refused", op("dial", syscall.ECONNREFUSED), true, health.Refused, Unavailable, true},
		{"no route", op("dial", syscall.EHOSTUNREACH), true, health.Refused, Unavailable, true},
		{"a dial that timed out", op("dial", syscall.ETIMEDOUT), true, health.Failed, Unavailable, true},
		{"a dial that failed otherwise", op("dial", syscall.EINVAL), true, health.Failed, Unavailable, true},
		{"reset", op("read", syscall.ECONNRESET), true, health.Failed, Reset, false},
		{"broken pipe", op("write", syscall.EPIPE), true, health.Failed, Reset, false},
		{"aborted", op("read", syscall.ECONNABORTED), true, health.Failed, Reset, false},
		{"broke off", fmt.Errorf("body: %w", io.ErrUnexpectedEOF), true, health.Failed, Reset, false},
		{"a read that timed out", timeout, true, health.Failed, AttemptTimeout, false},
		{"out of files", op("dial", syscall.EMFILE), true, health.Ignored, 0, true},
		{"the machine is", op("dial", syscall.ENFILE), true, health.Ignored, 0, true},
		{"out of ports", op("dial", syscall.EADDRNOTAVAIL), true, health.Ignored, 0, true},
		{"no network of our own", op("dial", syscall.ENETUNREACH), true, health.Ignored, 0, true},
		{"out of buffers", op("write", syscall.ENOBUFS), true, health.Ignored, 0, true},
		{"the caller's deadline", context.DeadlineExceeded, false, 0, 0, false},
		{"the end of a stream", io.EOF, false, 0, 0, false},
		{"the application's own", errors.New("connection refused"), false, 0, 0, false}, // words are no kind
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			r, ok := Network(row.err)
			if ok != row.known || r.Outcome != row.outcome || r.Kind != row.kind || r.Unsent != row.unsent || r.Answer {
				t.Errorf("%v: %+v, %v", row.err, r, ok)
			}
			if ok && !errors.Is(r.Err, row.err) {
				t.Errorf("the error became %v", r.Err)
			}
		})
	}
}

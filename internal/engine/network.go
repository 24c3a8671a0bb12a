package engine

import (
	"context"
	"errors"
	"io"
	"net"
	"syscall"

	"github.com/onehop-go/onehop/internal/dialer"
	"github.com/onehop-go/onehop/internal/health"
)

// Network classifies an error of a connection that no protocol has judged: by its kind, never by its text. false: it
// is none of the network's, and so the application's own. A dial that failed was never sent.
func Network(err error) (Result, bool) {
	op, ok := errors.AsType[*net.OpError](err)
	dial := ok && op.Op == "dial"
	switch {
	case localFault(err):
		return Result{Outcome: health.Ignored, Unsent: true, Err: err}, true
	case is(err, syscall.ECONNREFUSED, syscall.EHOSTUNREACH):
		return Result{Outcome: health.Refused, Unsent: true, Kind: Unavailable, Err: err}, true
	case dial:
		return Result{Outcome: health.Failed, Unsent: true, Kind: Unavailable, Err: err}, true
	case is(err, syscall.ECONNRESET, syscall.EPIPE, syscall.ECONNABORTED), errors.Is(err, io.ErrUnexpectedEOF):
		return Result{Outcome: health.Failed, Kind: Reset, Err: err}, true
	case dialer.Timeout(err) && !errors.Is(err, context.DeadlineExceeded):
		return Result{Outcome: health.Failed, Kind: AttemptTimeout, Err: err}, true
	}
	return Result{}, false
}

// localFault says that this machine, not the endpoint, is at its end.
func localFault(err error) bool {
	return is(err, syscall.EMFILE, syscall.ENFILE, syscall.EADDRNOTAVAIL, syscall.ENETUNREACH, syscall.ENOBUFS)
}

func is(err error, numbers ...syscall.Errno) bool {
	for _, n := range numbers {
		if errors.Is(err, n) {
			return true
		}
	}
	return false
}

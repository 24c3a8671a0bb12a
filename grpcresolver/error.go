package grpcresolver

import (
	"errors"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/onehop-go/onehop"
	"github.com/onehop-go/onehop/internal/bridge"
)

// callError is an *onehop.Error that is a gRPC status as well.
type callError struct {
	error // the *onehop.Error
	code  codes.Code
}

// Unwrap gives the *onehop.Error to errors.As.
func (e *callError) Unwrap() error { return e.error }

// GRPCStatus makes status.Code and status.FromError understand it.
func (e *callError) GRPCStatus() *status.Status { return status.New(e.code, e.Error()) }

// reasonCodes are the codes of calls that onehop itself ended. gRFC A54 leaves few codes to a control plane. A call that
// was shed says RESOURCE_EXHAUSTED, as gRPC servers do that shed, so that callers of the caller do not repeat it.
var reasonCodes = map[onehop.Reason]codes.Code{
	onehop.ReasonInvalid:     codes.Internal,
	onehop.ReasonUnresolved:  codes.Unavailable,
	onehop.ReasonNoEndpoints: codes.Unavailable,
	onehop.ReasonDenied:      codes.Unavailable,
	onehop.ReasonOverload:    codes.ResourceExhausted,
	onehop.ReasonLimit:       codes.ResourceExhausted,
	onehop.ReasonDeadline:    codes.DeadlineExceeded,
	onehop.ReasonCanceled:    codes.Canceled,
	onehop.ReasonClosed:      codes.Canceled, // as grpc-go's own closing ClientConn
}

// statusError makes an error of the engine what a gRPC caller expects. Where attempts were made and failed, the code is
// the last attempt's own.
func statusError(err error) error {
	err = bridge.Error(err)
	var e *onehop.Error
	if !errors.As(err, &e) {
		return err
	}
	code, ok := reasonCodes[e.Reason]
	if !ok {
		code = codeOf(e.Err)
	}
	return &callError{err, code}
}

// codeOf is the code of an attempt's error.
func codeOf(err error) codes.Code {
	var s interface{ GRPCStatus() *status.Status }
	var t interface{ Timeout() bool }
	switch {
	case errors.As(err, &s) && s.GRPCStatus() != nil:
		return s.GRPCStatus().Code()
	case errors.As(err, &t) && t.Timeout() && !isDial(err):
		return codes.DeadlineExceeded
	}
	return codes.Unavailable
}

// invalid is the error of a target that cannot be called.
func invalid(err error) error { return &onehop.Error{Reason: onehop.ReasonInvalid, Err: err} }

package engine

import (
	"context"
	"time"

	"github.com/onehop-go/onehop/internal/health"
)

// Kind is what a retry's `when` list can name by a word.
type Kind uint8

// The kinds of failure, as bits.
const (
	Unavailable    Kind = 1 << iota // 502, 503, 504, UNAVAILABLE
	Reset                           // connection broken after the request was written
	AttemptTimeout                  // the attempt's own time was over
	ServerError                     // 500 and gRPC INTERNAL, UNKNOWN, DATA_LOSS
)

// Ended says who ended an attempt before its answer.
type Ended uint8

// Who ended an attempt. The zero value is the endpoint, or the network.
const (
	ByEndpoint Ended = iota
	ByTimer          // State.Timeout was over
	ByDeadline       // State.Deadline or the caller's own deadline was over
	ByCaller         // the caller cancelled
	ByLoop           // onehop itself: a lost hedge (the context's cause is ErrLost), or Close
)

// Result is the first end of an attempt, as its protocol classified it. Where Ended is not ByEndpoint the loop fills in
// Outcome and Kind.
type Result struct {
	Outcome health.Outcome
	Ended   Ended
	Late    time.Duration // how long after its time a timer ended it
	Answer  bool          // there is something to hand to the caller: a response, a status, the application's error
	Unsent  bool          // no server has seen it, and it can be sent again as it is: it moves on at once
	// Unprocessed says that a server got it and sent it back unread (a refused stream): it can be sent again whatever it is,
	// and as any retry from the budget, since a service that has too much to do refuses so.
	Unprocessed bool
	NoPick      bool // no endpoint was ever picked: this was no attempt
	Kind        Kind
	Status      int           // HTTP status; 0: none
	Code        uint32        // gRPC status code; 0: none
	Stop        bool          // the server forbids a retry: x-envoy-ratelimited, a negative pushback
	Spent       bool          // the protocol has sent as many by itself as a server may see of the call
	Pause       time.Duration // the endpoint asks to be left alone for so long: Retry-After, grpc-retry-pushback-ms
	// Unsampled keeps the attempt's time out of the latency: a stream, a dial.
	Unsampled bool
	Err       error // of the attempt
	// Redial tries to connect to the attempt's endpoint again; nil where nothing is to be confirmed.
	Redial func(context.Context) error
}

// Attempt is one try of a protocol. The protocol embeds State and adds what it needs to send.
type Attempt interface {
	// Core is the loop's part: the embedded State.
	Core() *State
	// Send picks through State.Pick, sends, and waits for the first end. ctx is the caller's, or of a race. Called once.
	Send(ctx context.Context) Result
	// Discard drops what Send got, because another attempt follows or has won. Called at most once, after Send.
	Discard()
}

// Protocol is one call of a protocol, as the loop sees it.
type Protocol interface {
	// NewAttempt returns an attempt that was not used before. The loop fills in its State.
	NewAttempt() Attempt
}

// KindOfStatus is the kind of failure of an HTTP status.
func KindOfStatus(status int) Kind {
	switch status {
	case 502, 503, 504:
		return Unavailable
	case 500:
		return ServerError
	}
	return 0
}

// ErrAttemptTimeout ends an attempt whose own time is over; ErrTimeout one whose call's time, by policy or
// onehop.Timeout, is over. Both are timeouts to errors.Is(err, context.DeadlineExceeded) and to net.Error.
var (
	ErrAttemptTimeout error = timeoutError("attempt_timeout is over")
	ErrTimeout        error = timeoutError("timeout is over")
)

type timeoutError string

func (e timeoutError) Error() string        { return string(e) }
func (e timeoutError) Timeout() bool        { return true }
func (e timeoutError) Temporary() bool      { return true }
func (e timeoutError) Is(target error) bool { return target == context.DeadlineExceeded }

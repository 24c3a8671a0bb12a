package onehop

import (
	"context"
	"time"

	"github.com/onehop-go/onehop/internal/engine"
	"github.com/onehop-go/onehop/internal/health"
)

// CallOption is what the code knows about a call. Later ones win; they win over the route and the policy, not over
// ceilings.
type CallOption func(*callOptions)

type callOptions = engine.Options

// With returns a context whose calls, HTTP and gRPC alike, are made with opts, added to what ctx holds.
func With(ctx context.Context, opts ...CallOption) context.Context {
	return engine.WithOptions(ctx, optionsOf(ctx, opts))
}

// optionsOf are the options of ctx with opts added; nil: none at all.
func optionsOf(ctx context.Context, opts []CallOption) *callOptions {
	held := engine.OptionsOf(ctx)
	if len(opts) == 0 {
		return held
	}
	o := callOptions{}
	if held != nil {
		o = *held
	}
	for _, opt := range opts {
		if opt != nil {
			opt(&o)
		}
	}
	return &o
}

// Idempotent says that the call may be executed twice.
func Idempotent() CallOption { return func(o *callOptions) { o.Idempotent = true } }

// NoRetry allows one attempt on the wire and no hedge. One that could not be sent still moves on.
func NoRetry() CallOption { return func(o *callOptions) { o.NoRetry = true } }

// HashKey is what ring_hash places the call by.
func HashKey(key string) CallOption { return func(o *callOptions) { o.HashKey = key } }

// Timeout replaces the policy's timeout; 0 lifts it. The caller's own deadline stands.
func Timeout(d time.Duration) CallOption {
	return func(o *callOptions) { o.HasTimeout, o.Timeout = true, max(0, d) }
}

// Method names the call of Do: what routes match and metrics carry. HTTP and gRPC, which have methods, ignore it.
func Method(name string) CallOption { return func(o *callOptions) { o.Method = name } }

// Classify judges the errors of Do and gRPC; an Outcome of "" leaves one to the default.
func Classify(f func(err error) Outcome) CallOption {
	return func(o *callOptions) {
		if f == nil {
			o.Classify = nil
			return
		}
		o.Classify = func(err error) (health.Outcome, bool) { return health.ParseOutcome(string(f(err))) }
	}
}

package engine

import (
	"context"
	"time"

	"github.com/onehop-go/onehop/internal/health"
)

// Options are what the code knows about a call. The zero value knows nothing.
type Options struct {
	Idempotent bool
	NoRetry    bool
	HashKey    string
	HasTimeout bool
	Timeout    time.Duration // in place of the policy's, where HasTimeout; 0: none
	Method     string
	// Classify judges an error of Do or gRPC; false leaves it to the default.
	Classify func(error) (health.Outcome, bool)
}

type optionsKey struct{}

// WithOptions returns a context whose calls are made with o.
func WithOptions(ctx context.Context, o *Options) context.Context {
	return context.WithValue(ctx, optionsKey{}, o)
}

// OptionsOf are the options ctx holds; nil: none. Never write to them.
func OptionsOf(ctx context.Context) *Options {
	o, _ := ctx.Value(optionsKey{}).(*Options)
	return o
}

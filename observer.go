package onehop

import (
	"context"
	"time"

	"github.com/onehop-go/onehop/internal/engine"
	"github.com/onehop-go/onehop/internal/health"
	"github.com/onehop-go/onehop/policy"
	"github.com/onehop-go/onehop/resolver"
)

// Call is one call as an Observer sees it. Attempts, Duration and Err are set when it is done.
type Call struct {
	Target     resolver.Target
	Protocol   string // "http", "grpc", "do", "conn"
	Method     string
	Route      string
	Idempotent bool
	Start      time.Time
	Attempts   int
	Duration   time.Duration
	Err        error
}

// Decision is one thing onehop did, or in observe mode would have done.
type Decision struct {
	Target   resolver.Target
	Endpoint resolver.Endpoint // zero unless it is about one
	Action   string            // "retry", "hedge", "refuse", "open", "close", "hold", "drain", "inject_delay", "inject_abort"
	Reason   Reason            // of a refusal, or of a retry not made; else ""
	Applied  bool              // false in observe mode
}

// Observer is told what happens. A nil func is off. They run on the way of the call: concurrently, and must not block.
type Observer struct {
	CallStart    func(context.Context, Call) context.Context
	CallDone     func(context.Context, Call)
	AttemptStart func(context.Context, Attempt) context.Context // the context that travels; in gRPC without Endpoint while no connection is ready
	AttemptDone  func(context.Context, Attempt)
	Decided      func(context.Context, Decision)
	Resolved     func(context.Context, resolver.Target, resolver.Snapshot, error) // each publish of discovery
	Configured   func(ctx context.Context, service string, r policy.Revision, err error)
}

// hooksOf joins the observers into what the engine calls; nil: nobody listens, and the calls pay nothing.
func hooksOf(observers []Observer) *engine.Hooks {
	if len(observers) == 0 {
		return nil
	}
	return &engine.Hooks{
		CallStart: func(ctx context.Context, c *engine.Call) context.Context {
			for _, o := range observers {
				if o.CallStart != nil {
					ctx = o.CallStart(ctx, callOf(c)) //nolint:fatcontext // each observer adds its own, few times
				}
			}
			return ctx
		},
		CallDone: func(ctx context.Context, c *engine.Call) {
			for _, o := range observers {
				if o.CallDone != nil {
					o.CallDone(ctx, callOf(c))
				}
			}
		},
		AttemptStart: func(ctx context.Context, r engine.Record) context.Context {
			for _, o := range observers {
				if o.AttemptStart != nil {
					ctx = o.AttemptStart(ctx, attemptOf(r)) //nolint:fatcontext // as above
				}
			}
			return ctx
		},
		AttemptDone: func(ctx context.Context, r engine.Record) {
			for _, o := range observers {
				if o.AttemptDone != nil {
					o.AttemptDone(ctx, attemptOf(r))
				}
			}
		},
		Decided: func(ctx context.Context, d engine.Decision) {
			tellDecided(ctx, observers, decisionOf(d))
		},
	}
}

func callOf(c *engine.Call) Call {
	return Call{
		Target: c.Upstream().Target(), Protocol: c.Protocol, Method: c.Method, Route: c.Route(), Idempotent: c.Idempotent(),
		Start: health.Time(c.Start()), Attempts: c.Tries(), Duration: c.Duration(), Err: publicError(c.Err()),
	}
}

func decisionOf(d engine.Decision) Decision {
	p := Decision{Target: d.Target, Action: d.Action, Reason: Reason(d.Reason), Applied: d.Applied}
	if d.Endpoint != nil {
		p.Endpoint = *d.Endpoint.Info()
	}
	return p
}

func tellDecided(ctx context.Context, observers []Observer, d Decision) {
	for _, o := range observers {
		if o.Decided != nil {
			o.Decided(ctx, d)
		}
	}
}

func tellResolved(ctx context.Context, observers []Observer, t resolver.Target, s resolver.Snapshot, err error) {
	for _, o := range observers {
		if o.Resolved != nil {
			o.Resolved(ctx, t, s, err)
		}
	}
}

func tellConfigured(ctx context.Context, observers []Observer, service string, r policy.Revision, err error) {
	for _, o := range observers {
		if o.Configured != nil {
			o.Configured(ctx, service, r, err)
		}
	}
}

package engine

import (
	"context"

	"github.com/onehop-go/onehop/internal/health"
	"github.com/onehop-go/onehop/resolver"
)

// Hooks are how the loop tells what happens. A nil func is off. They run on the way of the call.
type Hooks struct {
	CallStart    func(context.Context, *Call) context.Context
	CallDone     func(context.Context, *Call)
	AttemptStart func(context.Context, Record) context.Context
	AttemptDone  func(context.Context, Record)
	Decided      func(context.Context, Decision)
}

// Decision is one thing that was done, or in observe mode would have been.
type Decision struct {
	Target   resolver.Target
	Endpoint *health.Endpoint // nil unless it is about one
	Action   string
	Reason   Reason
	Applied  bool
}

// Observed says whether anybody listens to the beginning of attempts.
func (u *Upstream) Observed() bool { return u.hooks != nil && u.hooks.AttemptStart != nil }

func (u *Upstream) decided(ctx context.Context, action string, why Reason, applied bool) {
	if h := u.hooks; h != nil && h.Decided != nil {
		h.Decided(ctx, Decision{Target: u.target, Action: action, Reason: why, Applied: applied})
	}
}

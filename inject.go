package onehop

import (
	"fmt"
	"math"
	"time"

	"github.com/onehop-go/onehop/internal/engine"
)

// Fault is what WithFaultInjection does to the attempts at a service. An aborted attempt fails as if its endpoint were
// unavailable, and is retried like one; its Outcome is OutcomeInjected, and no endpoint is charged for it.
type Fault struct {
	Service    string        // "": every service without a Fault of its own
	Delay      time.Duration // of an attempt, before it is sent
	DelayShare float64       // of the attempts, 0 to 1
	AbortShare float64       // of the attempts, 0 to 1
}

// OutcomeInjected marks an attempt that fault injection aborted.
const OutcomeInjected Outcome = "injected"

// WithFaultInjection delays or aborts a share of the attempts: for game days, never by policy. Without it nothing is
// ever injected.
func WithFaultInjection(faults ...Fault) Option {
	return func(o *options) { o.faults = append(o.faults, faults...) }
}

// injections checks the faults, and keeps them by service.
func injections(faults []Fault) (map[string]*engine.Injection, error) {
	by := map[string]*engine.Injection{}
	for _, f := range faults {
		if !isShare(f.DelayShare) || !isShare(f.AbortShare) || f.Delay < 0 {
			return nil, fmt.Errorf("onehop: fault injection for %q: shares must be 0 to 1, and the delay not negative: %+v", f.Service, f)
		}
		by[f.Service] = &engine.Injection{Delay: f.Delay, DelayShare: f.DelayShare, AbortShare: f.AbortShare}
	}
	return by, nil
}

func isShare(x float64) bool { return !math.IsNaN(x) && x >= 0 && x <= 1 }

// injection is what is done to the attempts at a service; nil: nothing.
func (c *Client) injection(service string) *engine.Injection {
	if in := c.injected[service]; in != nil {
		return in
	}
	return c.injected[""]
}

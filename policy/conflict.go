package policy

import (
	"fmt"
	"time"

	"go.yaml.in/yaml/v3"
)

// order is two durations of which one must not pass the other.
type order struct {
	low, high       string // their paths below what holds them
	lowest, highest *time.Duration
	below           bool // low must stay below high; and 0 is no limit for either
}

func settingsOrders(s *Settings) []order {
	b := &s.Retry.Backoff
	return []order{
		{"attempt_timeout", "timeout", &s.AttemptTimeout, &s.Timeout, true},
		{"retry.backoff.initial", "retry.backoff.max", &b.Initial, &b.Max, false},
	}
}

func breakerOrders(c *CircuitBreaker) []order {
	return []order{{"circuit_breaker.open_for", "circuit_breaker.max_open_for", &c.OpenFor, &c.MaxOpenFor, false}}
}

// broken says what is wrong; "": nothing.
func (o order) broken() string {
	low, high := *o.lowest, *o.highest
	switch {
	case o.below && low > 0 && high > 0 && low >= high:
		return fmt.Sprintf("%s is not below %s, %s", plain(low), o.high, plain(high))
	case !o.below && low > high:
		return fmt.Sprintf("%s is above %s, %s", plain(low), o.high, plain(high))
	}
	return ""
}

// keep clamps low to the nearest value that may stand beside high, where it may not stand.
func (o order) keep() {
	if o.broken() == "" {
		return
	}
	low, high := o.lowest, *o.highest
	*low = high
	if o.below {
		*low = high - minDuration // 0 where high is the least there is: then there is no room for a limit of its own
		if *low < minDuration {
			*low = 0
		}
	}
}

// settle keeps the orders of what at ("": the document, else a route of it) has become, where layers broke them: an edit
// of a layer must not invalidate those above. What one document says against itself stays, for validation to refuse. It reports
// whether it changed anything.
func (d *decoder) settle(at string, orders []order) (changed bool) {
	for _, o := range orders {
		low, high := d.said(at, o.low), d.said(at, o.high)
		if low == nil || high == nil {
			changed = d.clamp(at, o, first(low, high)) || changed
		}
	}
	return changed
}

// clamp keeps one order of what at has become, and warns at the place n when it had to.
func (d *decoder) clamp(at string, o order, n *yaml.Node) bool {
	message := o.broken()
	if message == "" {
		return false
	}
	o.keep()
	d.warn(n, join(at, o.low), fmt.Sprintf("%s: one of them comes from a layer below, so %s is taken as %s", message, o.low, plain(*o.lowest)))
	return true
}

// said is the node of this document that a setting of at comes from; nil when it comes from a layer below.
func (d *decoder) said(at, name string) *yaml.Node {
	return first(d.set[join(at, name)], d.set[name])
}

func first(nodes ...*yaml.Node) *yaml.Node {
	for _, n := range nodes {
		if n != nil {
			return n
		}
	}
	return nil
}

// settleSettings settles s, and warns of attempts that do not fit where that alone is left to say.
func (d *decoder) settleSettings(at string, s *Settings) {
	if !d.settle(at, settingsOrders(s)) {
		d.warnTight(at, *s)
	}
}

// warnTight warns when the attempts of s cannot all be made: each may run to attempt_timeout and is followed by a pause,
// and timeout ends it all. Only where this document had a say, and once.
func (d *decoder) warnTight(at string, s Settings) {
	if s.Timeout == 0 || s.AttemptTimeout == 0 || s.AttemptTimeout >= s.Timeout {
		return
	}
	for _, name := range []string{"attempt_timeout", "timeout", "retry.max_attempts", "retry.backoff.initial", "retry.backoff.max", "retry.backoff.multiplier"} {
		path := join(at, name)
		n, fit := d.set[path], attemptsThatFit(s)
		if n != nil && fit < s.Retry.MaxAttempts {
			d.warn(n, path, fmt.Sprintf("only %d of %d attempts fit into timeout, %s, when each lasts for attempt_timeout, %s",
				fit, s.Retry.MaxAttempts, plain(s.Timeout), plain(s.AttemptTimeout)))
			return
		}
	}
}

// attemptsThatFit counts the attempts that begin before Timeout when each runs to AttemptTimeout, without jitter.
func attemptsThatFit(s Settings) int {
	begin, pause := time.Duration(0), s.Retry.Backoff.Initial
	for n := 1; n < s.Retry.MaxAttempts; n++ {
		begin += s.AttemptTimeout + pause
		if begin >= s.Timeout {
			return n
		}
		pause = min(time.Duration(float64(pause)*s.Retry.Backoff.Multiplier), s.Retry.Backoff.Max)
	}
	return s.Retry.MaxAttempts
}

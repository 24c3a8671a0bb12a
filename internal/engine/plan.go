package engine

import (
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/onehop-go/onehop/internal/health"
	"github.com/onehop-go/onehop/policy"
)

// plan is a policy made ready for calls. Immutable; a call keeps the plan it began with.
type plan struct {
	policy policy.Policy
	apply  bool  // mode enforce: decisions are acted on
	timed  bool  // some rule sets a time
	rest   rule  // of calls that no route matches
	gate   *gate // of all calls
	routes []rule
}

// rule is what one call obeys: the settings of its route, or of the policy.
type rule struct {
	policy.Settings
	name       string
	match      policy.Match
	idempotent bool
	when       conditions
	gate       *gate // of the route's own calls; nil: it has no limits of its own
	*stats
}

// stats are what calls of one route told. They live as long as the upstream, under the route's name.
type stats struct {
	gate      gate
	usual     health.Mean  // what an answer usually takes
	latencies Histogram    // of a route that hedges
	delay     atomic.Int64 // nanoseconds until a hedge; 0: not known yet
	read      atomic.Int64 // the instant at which it is read from the latencies again
}

// conditions is a `when` list made ready.
type conditions struct {
	kinds    Kind
	statuses []int
	codes    uint32 // a bit for each gRPC code
}

var kinds = map[policy.Condition]Kind{
	policy.Unavailable:    Unavailable,
	policy.Reset:          Reset,
	policy.AttemptTimeout: AttemptTimeout,
	policy.ServerError:    ServerError,
}

// codes are the gRPC status codes by name, as google.golang.org/grpc/codes numbers them; this package may not import
// grpc.
var codes = map[string]uint32{
	"CANCELLED": 1, "UNKNOWN": 2, "INVALID_ARGUMENT": 3, "DEADLINE_EXCEEDED": 4, "NOT_FOUND": 5, "ALREADY_EXISTS": 6,
	"PERMISSION_DENIED": 7, "RESOURCE_EXHAUSTED": 8, "FAILED_PRECONDITION": 9, "ABORTED": 10, "OUT_OF_RANGE": 11,
	"UNIMPLEMENTED": 12, "INTERNAL": 13, "UNAVAILABLE": 14, "DATA_LOSS": 15, "UNAUTHENTICATED": 16,
}

func newConditions(list []policy.Condition) (c conditions) {
	for _, word := range list {
		if k, ok := kinds[word]; ok {
			c.kinds |= k
		} else if code, ok := codes[string(word)]; ok {
			c.codes |= 1 << code
		} else if status, err := strconv.Atoi(string(word)); err == nil {
			c.statuses = append(c.statuses, status)
		}
	}
	return c
}

// match says whether a result is among the conditions.
func (c *conditions) match(r *Result) bool {
	if c.kinds&r.Kind != 0 || (r.Code != 0 && c.codes&(1<<r.Code) != 0) {
		return true
	}
	return slices.Contains(c.statuses, r.Status)
}

func newPlan(p policy.Policy, statsOf func(route string) *stats) *plan {
	pl := &plan{policy: p, apply: p.Mode == policy.Enforce}
	if !pl.apply {
		p = untimed(p)
	}
	pl.rest = rule{Settings: p.Settings, when: newConditions(p.Retry.When), stats: statsOf("")}
	pl.gate = pl.rest.stats.gate.configure(p.Limits)
	pl.timed = pl.rest.timed()
	for _, r := range p.Routes {
		own := rule{
			Settings: r.Settings, name: r.Name, match: r.Match, idempotent: r.Idempotent,
			when: newConditions(r.Retry.When), stats: statsOf(r.Name),
		}
		if r.Limits != p.Limits { // else it inherits those of all calls, and must not count twice
			own.gate = own.stats.gate.configure(r.Limits)
		}
		pl.routes = append(pl.routes, own)
		pl.timed = pl.timed || own.timed()
	}
	return pl
}

func (r *rule) timed() bool { return r.Timeout > 0 || r.AttemptTimeout > 0 || r.IdleTimeout > 0 }

// untimed takes the times out: a call that lives without onehop must live in the modes that only look on.
func untimed(p policy.Policy) policy.Policy {
	lift := func(s *policy.Settings) { s.Timeout, s.AttemptTimeout, s.IdleTimeout = 0, 0, 0 }
	lift(&p.Settings)
	p.Routes = slices.Clone(p.Routes)
	for i := range p.Routes {
		lift(&p.Routes[i].Settings)
	}
	return p
}

// rule is the first route that matches, else the policy itself.
func (p *plan) rule(c *Call) *rule {
	for i := range p.routes {
		if p.routes[i].matches(c) {
			return &p.routes[i]
		}
	}
	return &p.rest
}

func (r *rule) matches(c *Call) bool {
	m := &r.match
	if m.GRPC != "" && !matchGRPC(m.GRPC, c) {
		return false
	}
	if m.PathPrefix != "" && !(c.Protocol == "http" && matchPrefix(m.PathPrefix, c.Path)) {
		return false
	}
	return len(m.Methods) == 0 || c.Protocol != "grpc" && slices.Contains(m.Methods, c.Method)
}

// matchGRPC compares "pkg.Service/Method" or "pkg.Service/*" with "/pkg.Service/Method".
func matchGRPC(pattern string, c *Call) bool {
	if c.Protocol != "grpc" {
		return false
	}
	method := strings.TrimPrefix(c.Method, "/")
	if service, all := strings.CutSuffix(pattern, "*"); all {
		return strings.HasPrefix(method, service)
	}
	return method == pattern
}

// matchPrefix holds on segment borders only: /v1/charges is no prefix of /v1/chargesheet.
func matchPrefix(prefix, path string) bool {
	rest, ok := strings.CutPrefix(path, prefix)
	return ok && (rest == "" || strings.HasSuffix(prefix, "/") || rest[0] == '/')
}

package policy

import (
	"slices"
	"time"
)

// The table: every field of the document with its meaning, its limits and its place in a Policy. Ceilings stand here and
// nowhere else; a document cannot pass them.

// document is the whole of it. routes come last: a route starts from the Settings that the fields before it result in.
var document = object{fields: slices.Concat(
	[]*field{
		at("mode", "Whether decisions are acted on. observe: decide, count and show, do not act. bypass: discovery and balancing only.",
			func(p *Policy) *Mode { return &p.Mode }, word(Enforce, Observe, Bypass)),
	},
	lift(func(p *Policy) *Settings { return &p.Settings }, times),
	[]*field{
		at("connect_timeout", "Limit of a dial and its TLS handshake. 0: none.",
			func(p *Policy) *time.Duration { return &p.ConnectTimeout }, duration(orNone)),
		at("retry", "Which failures are retried, how often and with which pauses.",
			func(p *Policy) *Policy { return p }, upstreamRetry),
	},
	lift(func(p *Policy) *Settings { return &p.Settings }, hedgeAndLimits),
	[]*field{
		at("circuit_breaker", "When an endpoint that does worse than its peers is avoided, and for how long.",
			func(p *Policy) *CircuitBreaker { return &p.CircuitBreaker }, circuitBreaker),
		at("overload", "The brake: no limit until most answers say overload.",
			func(p *Policy) *bool { return &p.Overload }, boolean()),
		at("load_balancing", "How an endpoint is chosen.",
			func(p *Policy) *LoadBalancing { return &p.LoadBalancing }, loadBalancing),
		at("failover", "Where calls go when the local datacenter has too little left.",
			func(p *Policy) *Failover { return &p.Failover }, failover),
		at("routes", "What differs for some calls; the first that matches. They replace the routes of the layers below as a whole.",
			func(p *Policy) *[]Route { return &p.Routes }, typed[*[]Route]{routes{}}),
	},
)}

// upstreamRetry is retry at the top of the document: that of a route, and the budget.
var upstreamRetry = typed[*Policy]{&object{fields: slices.Concat(
	lift(func(p *Policy) *Retry { return &p.Retry }, retry),
	[]*field{
		at("budget", "Bounds the retries of the upstream to a share of its successes.",
			func(p *Policy) *Budget { return &p.Budget }, fields[*Budget](
				at("ratio", "Retries earned by a success.", func(b *Budget) *float64 { return &b.Ratio }, number(0, 0.2)),
				at("min", "Retries at hand from the start.", func(b *Budget) *int { return &b.Min }, integer(0, 100)),
			)),
	},
)}}

// times, retry and hedgeAndLimits are the Settings, which a route may change.
var times = []*field{
	at("timeout", "Limit of a call, attempts, backoff and hedges included, to response headers (HTTP) or status (unary gRPC). 0: the caller's own deadline only.",
		func(s *Settings) *time.Duration { return &s.Timeout }, duration(orNone)),
	at("attempt_timeout", "Limit of one attempt, below timeout. 0: none.",
		func(s *Settings) *time.Duration { return &s.AttemptTimeout }, duration(orNone)),
	at("idle_timeout", "Limit of a read of a body, or of a stalled write of one. 0: none.",
		func(s *Settings) *time.Duration { return &s.IdleTimeout }, duration(orNone)),
}

var retry = []*field{
	at("max_attempts", "The first try included; hedges count. 1: no retries.",
		func(r *Retry) *int { return &r.MaxAttempts }, integer(1, 5)),
	at("when", "Failures that are retried: unavailable (502, 503, 504, UNAVAILABLE), reset, attempt_timeout, server_error (500, INTERNAL, "+
		"UNKNOWN, DATA_LOSS), an HTTP status, a gRPC code. What was provably never processed is always retried.",
		func(r *Retry) *[]Condition { return &r.When }, many(list[Condition]{item: conditionKind{}, most: 32, unknown: unknownCondition})),
	at("backoff", "The pause before a retry.",
		func(r *Retry) *Backoff { return &r.Backoff }, fields[*Backoff](
			at("initial", "Before the first retry. 0: none.", func(b *Backoff) *time.Duration { return &b.Initial }, duration(orNone)),
			at("max", "The longest.", func(b *Backoff) *time.Duration { return &b.Max }, duration(never0)),
			at("multiplier", "From one retry to the next.", func(b *Backoff) *float64 { return &b.Multiplier }, number(1, 10)),
			at("jitter", "Share by which a pause varies at random.", func(b *Backoff) *float64 { return &b.Jitter }, number(0, 1)),
		)),
}

var hedgeAndLimits = []*field{
	at("hedge", "At most so much extra load by second attempts beside slow first ones, for idempotent calls. 0%: off.",
		func(s *Settings) *float64 { return &s.Hedge }, percent(5)),
	at("limits", "Limits of this process toward the upstream.",
		func(s *Settings) *Limits { return &s.Limits }, fields[*Limits](
			at("concurrency", "Calls at one time. 0: no limit.", func(l *Limits) *int { return &l.Concurrency }, integer(0, 1_000_000)),
			at("rate", "Calls a second. 0: no limit.", func(l *Limits) *float64 { return &l.Rate }, number(0, 1_000_000)),
		)),
}

var circuitBreaker = fields[*CircuitBreaker](
	at("consecutive_failures", "Failures in a row that open. 0: off.",
		func(c *CircuitBreaker) *int { return &c.ConsecutiveFailures }, integer(0, 1000)),
	at("failure_ratio", "Share of failed calls in the window that opens. 0: off.",
		func(c *CircuitBreaker) *float64 { return &c.FailureRatio }, number(0, 1)),
	at("min_requests", "Calls in the window before failure_ratio is judged.",
		func(c *CircuitBreaker) *int { return &c.MinRequests }, integer(1, 10_000)),
	at("window", "How far back failures count.",
		func(c *CircuitBreaker) *time.Duration { return &c.Window }, duration(never0)),
	at("open_for", "How long the endpoint is avoided at first; doubled at each further opening.",
		func(c *CircuitBreaker) *time.Duration { return &c.OpenFor }, duration(never0)),
	at("max_open_for", "The longest.",
		func(c *CircuitBreaker) *time.Duration { return &c.MaxOpenFor }, duration(never0)),
)

var loadBalancing = fields[*LoadBalancing](
	at("algorithm", "How an endpoint is chosen.",
		func(l *LoadBalancing) *Algorithm { return &l.Algorithm }, word(P2CEWMA, LeastRequest, RoundRobin, RingHash)),
	at("slow_start", "Over this time a new endpoint is led to its full share. 0: at once.",
		func(l *LoadBalancing) *time.Duration { return &l.SlowStart }, duration(orNone)),
	at("prefer_local_zone", "Prefer endpoints of the caller's zone while they have the capacity.",
		func(l *LoadBalancing) *bool { return &l.PreferLocalZone }, boolean()),
	at("subset", "At most so many endpoints are used by one process. 0: all.",
		func(l *LoadBalancing) *int { return &l.Subset }, integer(0, 10_000)),
)

var failover = fields[*Failover](
	at("datacenters", "Names of Consul datacenters, in the order in which they are tried.",
		func(f *Failover) *[]string { return &f.Datacenters }, many(list[string]{item: datacenter, most: 16})),
)

// route is one entry of routes.
var route = object{
	required:  []string{"name", "match"},
	elsewhere: []string{"mode", "connect_timeout", "circuit_breaker", "overload", "load_balancing", "failover", "routes"},
	fields: slices.Concat(
		[]*field{
			at("name", "The label of the route in metrics, errors and the page; unique.",
				func(r *Route) *string { return &r.Name }, single(routeName)),
			at("match", "Which calls: all that is set must hold.",
				func(r *Route) *Match { return &r.Match }, match),
			at("idempotent", "Whether the calls are safe to execute twice. A POST is called so only by a route that names its methods.",
				func(r *Route) *bool { return &r.Idempotent }, boolean()),
		},
		lift(func(r *Route) *Settings { return &r.Settings }, times),
		[]*field{
			at("retry", "Which failures are retried, how often and with which pauses. The budget is the upstream's.",
				func(r *Route) *Retry { return &r.Retry }, typed[*Retry]{&object{fields: retry, elsewhere: []string{"budget"}}}),
		},
		lift(func(r *Route) *Settings { return &r.Settings }, hedgeAndLimits),
	),
}

// match of a route. Without one of its conditions it means more, so it is whole or of no use.
var match = typed[*Match]{&object{whole: true, some: true, fields: []*field{
	at("methods", "HTTP methods, or names given in code by onehop.Method.",
		func(m *Match) *[]string { return &m.Methods }, many(list[string]{item: method, some: true, most: 16})),
	at("path_prefix", "Beginning of the escaped path, up to a segment's border.",
		func(m *Match) *string { return &m.PathPrefix }, optional(pathPrefix)),
	at("grpc", "A gRPC method.",
		func(m *Match) *string { return &m.GRPC }, optional(grpcMethod)),
}}}

// The texts of the document.
var (
	datacenter = textKind{"want the name of a datacenter: letters, digits, - and _",
		form(`^[A-Za-z0-9_-]{1,64}$`)}
	routeName = textKind{"want a name: a letter or digit, then up to 63 letters, digits, dots, - and _",
		form(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)}
	method = textKind{"want an HTTP method such as POST, or a name given to onehop.Method, of up to 64 characters without blanks",
		form(`^[!-~]{1,64}$`)}
	pathPrefix = textKind{"want the beginning of a path: /, then up to 999 characters as they stand in a URL, without ? and #",
		form(`^/[!"$-;=@-~]{0,999}$`)}
	grpcMethod = textKind{"want pkg.Service/Method or pkg.Service/*, without a / before it",
		form(`^[A-Za-z_][A-Za-z0-9_.]{0,255}/([*]|[A-Za-z_][A-Za-z0-9_]{0,255})$`)}
)

// Whether a duration may be 0.
const (
	orNone = true
	never0 = false
)

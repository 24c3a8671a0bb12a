package policy

import (
	"time"

	"go.yaml.in/yaml/v3"
)

// Mode says whether decisions are acted on.
type Mode string

// The modes. The zero value "" is none of them and does not validate.
const (
	Enforce Mode = "enforce" // the default
	Observe Mode = "observe" // decide, count, show; do not act
	Bypass  Mode = "bypass"  // discovery and balancing only
)

// Condition is a kind of failure that may be retried: a word below, an HTTP status of 400 to 599 ("429") or the name of
// a gRPC code ("ABORTED"). What was provably never processed is retried without any condition.
type Condition string

// The conditions that have a word of their own. The first three are the default.
const (
	Unavailable    Condition = "unavailable"     // 502, 503, 504, UNAVAILABLE
	Reset          Condition = "reset"           // connection broken after the request was written
	AttemptTimeout Condition = "attempt_timeout" // Settings.AttemptTimeout passed
	ServerError    Condition = "server_error"    // 500 and gRPC INTERNAL, UNKNOWN, DATA_LOSS; not among the defaults
)

// Algorithm of load balancing.
type Algorithm string

// The algorithms. The zero value "" is none of them and does not validate.
const (
	P2CEWMA      Algorithm = "p2c_ewma" // the default: the cheaper of two drawn at random, by latency and load
	LeastRequest Algorithm = "least_request"
	RoundRobin   Algorithm = "round_robin" // smooth weighted
	RingHash     Algorithm = "ring_hash"   // by onehop.HashKey, with bounded load
)

// Policy is complete: start from Default() and change fields. The zero value does not validate. Compare with Equal.
// A Policy that was published or parsed is shared: never write to its slices. Reading it is safe from any goroutine.
type Policy struct {
	Mode           Mode
	Settings                      // the part a route may change
	ConnectTimeout time.Duration  // dial and TLS; 0: none, else 1 ms to 1 h
	Budget         Budget         // retry.budget in the document
	CircuitBreaker CircuitBreaker // of an endpoint
	Overload       bool           // the brake: no limit until most answers say overload
	LoadBalancing  LoadBalancing
	Failover       Failover
	Routes         []Route // the first that matches; at most 256, names unique
}

// Settings of a call. Durations are 0 (none) or 1 ms to 1 h.
type Settings struct {
	Timeout        time.Duration // of the call, from its start to response headers (HTTP) or status (unary gRPC); 0: the caller's deadline only
	AttemptTimeout time.Duration // of one attempt; below Timeout where both are set
	IdleTimeout    time.Duration // of a read of a body, or a stalled write of one
	Retry          Retry
	Hedge          float64 // share of extra load, 0 (off) to 0.05; "1%" in the document
	Limits         Limits
}

// Route overrides Settings for the calls it matches. In code start from Settings: p.Settings.
//
// A route is complete, like a Policy. In a document it says only what differs, and the rest follows the Policy: also
// when a layer above, which has no routes of its own, changes the Policy's Settings. A Route made in code keeps its
// Settings whatever documents say.
type Route struct {
	Name       string // the label in metrics, errors and the page; required, unique
	Match      Match
	Idempotent bool // safe to execute twice
	Settings

	said *yaml.Node // the words of its document, for layers above (inherit); nil: made in code
}

// Match says which calls a route is for: all that is set must hold; one thing at least is set.
type Match struct {
	Methods    []string // HTTP methods, or the names given to onehop.Method; empty: any
	PathPrefix string   // on segment borders of the escaped path; "": any
	GRPC       string   // "pkg.Service/Method" or "pkg.Service/*"; "": any
}

// Retry says when and how often a failed attempt is repeated.
type Retry struct {
	MaxAttempts int         // the first try included, 1 (no retries) to 5; hedges count
	When        []Condition // empty: only what was provably never processed
	Backoff     Backoff
}

// Backoff is the pause before a retry: Initial, times Multiplier for each further one, at most Max, and each spread at
// random by the share Jitter to both sides.
type Backoff struct {
	Initial    time.Duration // 0 (no pause) to Max
	Max        time.Duration // 1 ms to 1 h
	Multiplier float64       // 1 to 10
	Jitter     float64       // 0 (none) to 1
}

// Budget bounds the retries of an upstream to a share of its successes.
type Budget struct {
	Ratio float64 // retries earned by a success, 0 to 0.2
	Min   int     // retries at hand from the start, 0 to 100
}

// CircuitBreaker says when an endpoint that does worse than its peers is avoided, and for how long.
type CircuitBreaker struct {
	ConsecutiveFailures int           // 0 (off) to 1000
	FailureRatio        float64       // of the calls in Window, 0 (off) to 1
	MinRequests         int           // in Window, before FailureRatio is judged; 1 to 10000
	Window              time.Duration // 1 ms to 1 h
	OpenFor             time.Duration // at the first opening, doubled at each further one; 1 ms to MaxOpenFor
	MaxOpenFor          time.Duration // 1 ms to 1 h
}

// LoadBalancing says how an endpoint is chosen.
type LoadBalancing struct {
	Algorithm       Algorithm
	SlowStart       time.Duration // ramp of a new endpoint; 0: none, else 1 ms to 1 h
	PreferLocalZone bool
	Subset          int // at most so many endpoints are used by one process, 0 (all) to 10000
}

// Limits of this process toward an upstream or, on a route, of the route's calls.
type Limits struct {
	Concurrency int     // 0: none; at most 1000000
	Rate        float64 // calls a second; 0: none; at most 1000000
}

// Failover says where calls go when the local datacenter has too little left.
type Failover struct {
	Datacenters []string // in this order; empty: nowhere; at most 16
}

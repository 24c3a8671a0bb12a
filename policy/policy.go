package policy

import (
	"context"
	"github.com/onehop-go/onehop/consul"
	"time"
)

// Package policy is the resilience data of a service: plain values, decoded over their defaults.

// Mode says whether decisions are acted on.
type Mode string

const (
	Enforce Mode = "enforce"
	Observe Mode = "observe" // decide, count, show; do not act
	Bypass  Mode = "bypass"  // discovery and balancing only
)

// Condition is a kind of failure that may be retried: a word below, an HTTP status ("429") or a gRPC code ("ABORTED").
type Condition string

const (
	Unavailable    Condition = "unavailable" // 502, 503, 504, UNAVAILABLE
	Reset          Condition = "reset"       // connection broken after the request was written
	AttemptTimeout Condition = "attempt_timeout"
	ServerError    Condition = "server_error" // 500 and gRPC INTERNAL, UNKNOWN, DATA_LOSS; not among the defaults
)

// Algorithm of load balancing.
type Algorithm string

const (
	P2CEWMA      Algorithm = "p2c_ewma"
	LeastRequest Algorithm = "least_request"
	RoundRobin   Algorithm = "round_robin"
	RingHash     Algorithm = "ring_hash"
)

// Policy is complete: start from Default() and change fields. The zero value does not validate. Compare with Equal.
type Policy struct {
	Mode           Mode
	Settings       // the part a route may change
	ConnectTimeout time.Duration
	Budget         Budget // retry.budget in the document
	CircuitBreaker CircuitBreaker
	Overload       bool
	LoadBalancing  LoadBalancing
	Failover       Failover
	Routes         []Route // the first that matches
}

// Settings of a call. Durations are 0 (none) or 1 ms to 1 h.
type Settings struct {
	Timeout        time.Duration
	AttemptTimeout time.Duration
	IdleTimeout    time.Duration
	Retry          Retry
	Hedge          float64 // share of extra load, 0 (off) to 0.05; "1%" in the document
	Limits         Limits
}

// Route overrides Settings for the calls it matches. In code start from Settings: p.Settings.
type Route struct {
	Name       string // the label in metrics, errors and the page; required, unique
	Match      Match
	Idempotent bool
	Settings
}

// Match: all that is set must hold; one thing at least is set.
type Match struct {
	Methods    []string // HTTP methods, or the names given to onehop.Method
	PathPrefix string   // on segment borders of the escaped path
	GRPC       string   // "pkg.Service/Method" or "pkg.Service/*"
}

type Retry struct {
	MaxAttempts int // the first try included, 1 (no retries) to 5; hedges count
	When        []Condition
	Backoff     Backoff
}

type Backoff struct {
	Initial, Max       time.Duration
	Multiplier, Jitter float64
}

type Budget struct {
	Ratio float64 // 0 to 0.2
	Min   int
}

type CircuitBreaker struct {
	ConsecutiveFailures int
	FailureRatio        float64
	MinRequests         int
	Window              time.Duration
	OpenFor, MaxOpenFor time.Duration
}

type LoadBalancing struct {
	Algorithm       Algorithm
	SlowStart       time.Duration
	PreferLocalZone bool
	Subset          int // 0: all
}

type Limits struct {
	Concurrency int     // 0: none
	Rate        float64 // a second; 0: none
}

type Failover struct{ Datacenters []string }

func Default() Policy { panic("todo") }

// a Problems, of all that is wrong
func (p Policy) Validate() error     { panic("todo") }
func (p Policy) Equal(q Policy) bool { panic("todo") }

// the document; Parse reads it back to the same Policy
func (p Policy) MarshalJSON() ([]byte, error) { panic("todo") }

// JSON Schema of the document
func Schema() []byte { panic("todo") }

// Parse decodes a YAML or JSON document over base and validates the result. On an error base comes back unchanged.
// Layers are successive Parses: Default(), then _default, then the service.
func Parse(document []byte, base Policy) (p Policy, warnings Problems, err error) { panic("todo") }

// Problem is one thing wrong with a document or a Policy, or a warning.
type Problem struct {
	Line, Column int    // 0 for a Policy made in code
	Path         string // "routes[1].retry.max_attempts"
	Message      string // what is wrong and what would be right; never more of the document than Excerpt
	Excerpt      string // the line, with a caret
}

func (p Problem) Error() string { panic("todo") }

// Problems is every Problem of one document, as an error.
type Problems []Problem

func (ps Problems) Error() string { panic("todo") }

// Revision is a Policy as a Source had it.
type Revision struct {
	Policy   Policy   // layered and valid
	Origin   string   // "consul: onehop/policy/payments at 4711": for people
	Warnings Problems // unknown fields and words
}

// DefaultKey is the name of the document under every service's.
const DefaultKey = "_default"

// Source supplies policies.
type Source interface {
	// Watch blocks until ctx ends or nothing more will come, and publishes each full Revision of one service.
	// A non-nil error (unreadable, denied, invalid) changes nothing: the last good stays. A deleted document publishes the layer under it.
	Watch(ctx context.Context, service string, publish func(Revision, error))
}

// Static is policy in code, by service name or DefaultKey; a service without one gets Default(). New validates it.
type Static map[string]Policy

// KV watches Prefix/_default and Prefix/<service> in Consul KV. The zero value works.
type KV struct {
	Agent  consul.Agent
	Prefix string  // "": "onehop/policy"
	Base   *Policy // the layer under the documents; nil: Default()
}

// Files watches Dir/_default.yaml (or .json) and Dir/<service>.yaml.
type Files struct {
	Dir  string
	Base *Policy // nil: Default()
}

func (Static) Watch(context.Context, string, func(Revision, error)) { panic("todo") }
func (KV) Watch(context.Context, string, func(Revision, error))     { panic("todo") }
func (Files) Watch(context.Context, string, func(Revision, error))  { panic("todo") }

package grpcresolver

import (
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/onehop-go/onehop/policy"
)

// The part of grpc-go's service config that a policy can be said in (gRFC A6 and service_config.proto).
type (
	nativeConfig struct {
		LoadBalancing []map[string]struct{} `json:"loadBalancingConfig"`
		Methods       []nativeMethods       `json:"methodConfig,omitempty"`
		Throttling    *nativeThrottling     `json:"retryThrottling,omitempty"`
	}
	nativeMethods struct {
		Names   []nativeName `json:"name"`
		Timeout string       `json:"timeout,omitempty"`
		Retry   *nativeRetry `json:"retryPolicy,omitempty"`
	}
	nativeName struct {
		Service string `json:"service"`
		Method  string `json:"method,omitempty"`
	}
	nativeRetry struct {
		MaxAttempts    int      `json:"maxAttempts"`
		InitialBackoff string   `json:"initialBackoff"`
		MaxBackoff     string   `json:"maxBackoff"`
		Multiplier     float64  `json:"backoffMultiplier"`
		Codes          []string `json:"retryableStatusCodes"`
	}
	nativeThrottling struct {
		MaxTokens float64 `json:"maxTokens"`
		Ratio     float64 `json:"tokenRatio"`
	}
)

// serviceConfig says p in grpc-go's own terms, as far as these go. It says nothing about methods of which it does not
// know that they may be repeated, or that they are unary: silence is safe, and a default entry would catch streams.
func serviceConfig(p policy.Policy) string { return nativeOf(p, linkedMethods()) }

func nativeOf(p policy.Policy, linked map[nativeName]method) string {
	c := nativeConfig{LoadBalancing: []map[string]struct{}{{balancerName: {}}}}
	if p.Mode == policy.Enforce {
		c.Methods = nativeMethodsOf(p, linked)
		c.Throttling = throttling(p.Budget)
	}
	text, err := json.Marshal(c)
	if err != nil { // numbers of a valid policy always marshal
		return defaultConfig
	}
	return string(text)
}

// nativeMethodsOf is an entry for each setting, with the methods it is of: those that linked protos describe, and those
// that routes name. A name may stand in one entry only; the exact one wins over its service's.
func nativeMethodsOf(p policy.Policy, linked map[nativeName]method) []nativeMethods {
	all := named(p, linked)
	entries := map[string]*nativeMethods{} // by what they say
	for name, m := range all {
		entry, said := nativeEntry(p, name, m)
		if !said && !hidden(p, all, name) {
			continue
		}
		text, err := json.Marshal(entry)
		if err != nil {
			continue
		}
		if entries[string(text)] == nil {
			entries[string(text)] = &entry
		}
		entries[string(text)].Names = append(entries[string(text)].Names, name)
	}
	var list []nativeMethods
	for _, entry := range entries {
		slices.SortFunc(entry.Names, compareNames)
		list = append(list, *entry)
	}
	slices.SortFunc(list, func(a, b nativeMethods) int { return compareNames(a.Names[0], b.Names[0]) })
	return list
}

// hidden says that the silence about a method would be filled by what is said of its service.
func hidden(p policy.Policy, all map[nativeName]method, name nativeName) bool {
	service := nativeName{Service: name.Service}
	m, ok := all[service]
	if !ok || name.Method == "" {
		return false
	}
	_, said := nativeEntry(p, service, m)
	return said
}

func compareNames(a, b nativeName) int {
	return strings.Compare(a.Service+"/"+a.Method, b.Service+"/"+b.Method)
}

// named is every method there is something to say of.
func named(p policy.Policy, linked map[nativeName]method) map[nativeName]method {
	all := maps.Clone(linked)
	if all == nil {
		all = map[nativeName]method{}
	}
	for _, r := range p.Routes {
		service, method, ok := strings.Cut(r.Match.GRPC, "/")
		if !ok {
			continue
		}
		name := nativeName{service, strings.TrimSuffix(method, "*")}
		if _, known := all[name]; !known {
			all[name] = unknown
		}
	}
	return all
}

var unknown method

// nativeEntry is what p says of one method, or of all unknown methods of a service; false: nothing.
func nativeEntry(p policy.Policy, name nativeName, m method) (entry nativeMethods, said bool) {
	settings, idempotent := p.Settings, m.idempotent
	if r := routeOf(p, name); r != nil {
		settings, idempotent = r.Settings, idempotent || r.Idempotent
	}
	if m.known && !m.streams && settings.Timeout > 0 {
		entry.Timeout = seconds(settings.Timeout)
	}
	if idempotent {
		entry.Retry = nativeRetryOf(settings.Retry)
	}
	return entry, entry.Timeout != "" || entry.Retry != nil
}

// routeOf is the first route that matches a call of the method. A whole service stands for its unknown methods: only a
// route for all of them is theirs.
func routeOf(p policy.Policy, name nativeName) *policy.Route {
	for i := range p.Routes {
		m := p.Routes[i].Match
		service, method, ok := strings.Cut(m.GRPC, "/")
		if ok && m.PathPrefix == "" && len(m.Methods) == 0 && service == name.Service && (method == "*" || method == name.Method) {
			return &p.Routes[i]
		}
	}
	return nil
}

func nativeRetryOf(r policy.Retry) *nativeRetry {
	list := nativeCodes(r.When)
	if r.MaxAttempts < 2 || len(list) == 0 {
		return nil
	}
	return &nativeRetry{
		MaxAttempts:    r.MaxAttempts,
		InitialBackoff: seconds(max(r.Backoff.Initial, time.Millisecond)),
		MaxBackoff:     seconds(max(r.Backoff.Max, time.Millisecond)),
		Multiplier:     max(r.Backoff.Multiplier, 1),
		Codes:          list,
	}
}

var conditionCodes = map[policy.Condition][]codes.Code{
	policy.Unavailable: {codes.Unavailable},
	policy.Reset:       {codes.Unavailable}, // what grpc-go makes of a broken connection
	policy.ServerError: {codes.Internal, codes.Unknown, codes.DataLoss},
}

// nativeCodes are the conditions that have a gRPC code. attempt_timeout and HTTP statuses have none.
func nativeCodes(when []policy.Condition) []string {
	var list []string
	for _, w := range when {
		for _, c := range conditionCodes[w] {
			list = append(list, codeName(c))
		}
		if c, ok := codeByName(string(w)); ok {
			list = append(list, codeName(c))
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// codeName is the code as service configs write it.
func codeName(c codes.Code) string { return codeNames[c] }

var codeNames = map[codes.Code]string{
	codes.Canceled: "CANCELLED", codes.Unknown: "UNKNOWN", codes.InvalidArgument: "INVALID_ARGUMENT",
	codes.DeadlineExceeded: "DEADLINE_EXCEEDED", codes.NotFound: "NOT_FOUND", codes.AlreadyExists: "ALREADY_EXISTS",
	codes.PermissionDenied: "PERMISSION_DENIED", codes.ResourceExhausted: "RESOURCE_EXHAUSTED",
	codes.FailedPrecondition: "FAILED_PRECONDITION", codes.Aborted: "ABORTED", codes.OutOfRange: "OUT_OF_RANGE",
	codes.Unimplemented: "UNIMPLEMENTED", codes.Internal: "INTERNAL", codes.Unavailable: "UNAVAILABLE",
	codes.DataLoss: "DATA_LOSS", codes.Unauthenticated: "UNAUTHENTICATED",
}

func codeByName(name string) (codes.Code, bool) {
	for c, n := range codeNames {
		if n == name {
			return c, true
		}
	}
	return codes.OK, false
}

// throttling is the budget in gRFC A6's terms: a bucket that begins full, and allows retries while it is more than half
// full. So twice the minimum gives the minimum of retries.
func throttling(b policy.Budget) *nativeThrottling {
	const most, least = 1000, 0.001 // gRFC A6: (0, 1000], three decimals
	return &nativeThrottling{
		MaxTokens: math.Min(most, math.Max(1, 2*float64(b.Min))),
		Ratio:     math.Max(least, math.Round(b.Ratio*1000)/1000),
	}
}

// seconds is a duration in protobuf's JSON.
func seconds(d time.Duration) string {
	return strconv.FormatFloat(d.Seconds(), 'f', -1, 64) + "s"
}

// linkedMethods are the methods of all protos linked into the program.
func linkedMethods() map[nativeName]method {
	all := map[nativeName]method{}
	protoregistry.GlobalFiles.RangeFiles(func(f protoreflect.FileDescriptor) bool {
		for i := range f.Services().Len() {
			service := f.Services().Get(i)
			for j := range service.Methods().Len() {
				m := service.Methods().Get(j)
				all[nativeName{string(service.FullName()), string(m.Name())}] = describe(m)
			}
		}
		return true
	})
	return all
}

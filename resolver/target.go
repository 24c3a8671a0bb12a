package resolver

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// Target names what is called. Comparable: equal Targets share one upstream, one watch. The zero value names nothing
// and fails every use. Names are kept as written, since the keys of policies are case-sensitive.
type Target struct {
	Service    string // catalogue name, or the prepared query's when Query
	Tag        string // "" any
	Datacenter string // "" the agent's own
	Peer       string // cluster peer; "" none
	Filter     string // Consul filter expression; "" none
	Query      bool   // Service is a prepared query (polled, never blocking)
}

// label is what a name taken from a host may be: a letter or digit, then up to 62 letters, digits and hyphens.
var label = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9-]{0,62}$`)

// scheme begins the explicit form of a target.
const scheme = "consul:"

// ParseTarget reads the name of a service in one of three forms:
//
//   - "payments": a catalogue name of letters, digits and hyphens;
//   - "v2.payments.service.dc2.consul", "pay.query.consul", "payments.service.two.peer.consul": Consul's DNS names,
//     see https://developer.hashicorp.com/consul/docs/discovery/dns;
//   - "consul://[agent]/payments?tag=v2&dc=dc2&peer=&filter=&query=true": names with dots, underscores or other
//     characters, percent-encoded, are reached only by this form. The agent is the caller's to compare with its own: a
//     Target carries none. The parameters that mbobakov/grpc-consul-resolver knows and that have no meaning here (wait,
//     limit, healthy, ...) are accepted and ignored.
//
// An error says what is wrong and what would be right, and never repeats credentials.
func ParseTarget(s string) (Target, error) {
	if len(s) >= len(scheme) && strings.EqualFold(s[:len(scheme)], scheme) {
		return parseURL(s)
	}
	if t, ok := ParseHost(s); ok {
		return t, nil
	}
	return Target{}, fmt.Errorf("target %q: %w", withoutCredentials(s), explainHost(s))
}

// ParseHost is the default rule for which hosts are services: a single label that is neither localhost nor an IP
// address, or one of Consul's DNS names under ".consul". False for everything else, such as a host with a port or of
// another domain.
func ParseHost(host string) (Target, bool) {
	if !strings.Contains(host, ".") {
		return Target{Service: host}, label.MatchString(host) && !strings.EqualFold(host, "localhost")
	}
	labels := strings.Split(strings.TrimSuffix(host, "."), ".")
	for _, l := range labels {
		if !label.MatchString(l) {
			return Target{}, false
		}
	}
	last := len(labels) - 1
	if !strings.EqualFold(labels[last], "consul") {
		return Target{}, false
	}
	return parseConsulName(labels[:last])
}

// parseConsulName reads what stands before ".consul": [tag.]name.service, name.query, each with an optional
// datacenter as <dc> or <dc>.dc, or a peer as <peer>.peer.
func parseConsulName(labels []string) (Target, bool) {
	kind := slices.IndexFunc(labels, func(l string) bool {
		return strings.EqualFold(l, "service") || strings.EqualFold(l, "query")
	})
	// A service may itself be called "service" or "query": the kind is never the first label.
	if kind == 0 && len(labels) > 1 {
		rest := slices.IndexFunc(labels[1:], func(l string) bool {
			return strings.EqualFold(l, "service") || strings.EqualFold(l, "query")
		})
		kind = rest + 1
	}
	if kind < 1 {
		return Target{}, false
	}
	t := Target{Service: labels[kind-1], Query: strings.EqualFold(labels[kind], "query")}
	switch before := labels[:kind-1]; {
	case len(before) == 1 && !t.Query:
		t.Tag = before[0]
	case len(before) != 0:
		return Target{}, false
	}
	switch after := labels[kind+1:]; {
	case len(after) == 0:
	case len(after) == 1, len(after) == 2 && strings.EqualFold(after[1], "dc"):
		t.Datacenter = after[0]
	case len(after) == 2 && strings.EqualFold(after[1], "peer") && !t.Query:
		t.Peer = after[0]
	default:
		return Target{}, false
	}
	return t, true
}

// explainHost says why ParseHost refused s.
func explainHost(s string) error {
	_, ipErr := netip.ParseAddr(strings.Trim(s, "[]"))
	switch {
	case s == "":
		return errors.New(`empty; want a service name such as "payments"`)
	case strings.Contains(s, "://"):
		return errors.New(`unknown scheme; want "consul:///payments" or just "payments"`)
	case ipErr == nil:
		return errors.New("an IP address is no service name")
	case strings.Contains(s, ":"):
		return errors.New("a service has no port of its own: Consul knows it; leave the port away")
	case strings.EqualFold(s, "localhost"):
		return errors.New("this machine is no service; to call a service of that name write consul:///localhost")
	case strings.HasSuffix(strings.ToLower(strings.TrimSuffix(s, ".")), ".consul"):
		return errors.New("want [tag.]name.service[.dc].consul, name.query[.dc].consul or name.service.peer-name.peer.consul")
	default:
		return fmt.Errorf("not a service name (letters, digits and hyphens, at most 63) nor a name under .consul; "+
			"any other name is reached as consul:///%s", url.PathEscape(s))
	}
}

// ignored are parameters of mbobakov/grpc-consul-resolver without a meaning here: instances are all read and filtered
// by the client, waits and limits are bounded by the resolver, credentials and TLS belong to the agent's settings.
var ignored = map[string]bool{
	"healthy": true, "wait": true, "limit": true, "timeout": true, "near": true, "sort": true, "insecure": true,
	"max-backoff": true, "token": true, "allow-stale": true, "require-consistent": true,
}

// fields says where each parameter of the URL form goes.
var fields = map[string]func(*Target) *string{
	"tag":    func(t *Target) *string { return &t.Tag },
	"dc":     func(t *Target) *string { return &t.Datacenter },
	"peer":   func(t *Target) *string { return &t.Peer },
	"filter": func(t *Target) *string { return &t.Filter },
}

func parseURL(s string) (Target, error) {
	fail := func(err error) (Target, error) {
		return Target{}, fmt.Errorf("target %q: %w", withoutCredentials(s), err)
	}
	u, err := url.Parse(s)
	if err != nil {
		return fail(errors.New("not a URL; want consul:///payments?tag=&dc=&peer=&filter=&query="))
	}
	path := u.EscapedPath()
	name, err := url.PathUnescape(strings.TrimPrefix(path, "/"))
	switch {
	case u.Opaque != "" || !strings.HasPrefix(path, "/"):
		return fail(errors.New("want three slashes: consul:///payments"))
	case u.Fragment != "" || strings.HasSuffix(s, "#"):
		return fail(errors.New("a target has no fragment; write # as %23"))
	case err != nil || strings.Contains(path[1:], "/"):
		return fail(errors.New("want one name after the agent: consul:///payments"))
	}
	t := Target{Service: name}
	params, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return fail(errors.New("parameters are not percent-encoded properly"))
	}
	if err := setParameters(&t, params); err != nil {
		return fail(err)
	}
	if err := t.validate(); err != nil {
		return fail(err)
	}
	return t, nil
}

func setParameters(t *Target, params url.Values) error {
	for _, name := range slices.Sorted(maps.Keys(params)) {
		values := params[name]
		field, known := fields[name]
		switch {
		case ignored[name]:
		case name != "query" && !known:
			return fmt.Errorf("unknown parameter %q; want tag, dc, peer, filter or query", name)
		case len(values) > 1:
			return fmt.Errorf("parameter %s is given %d times", name, len(values))
		case known:
			*field(t) = values[0]
		default:
			isQuery, err := strconv.ParseBool(values[0])
			if err != nil {
				return fmt.Errorf("parameter query is %q; want true or false", values[0])
			}
			t.Query = isQuery
		}
	}
	return nil
}

// validate refuses what cannot be asked of Consul. A name is one segment of a path there, and net/http and Consul
// resolve dot segments.
func (t Target) validate() error {
	switch {
	case t.Service == "":
		return errors.New(`no service name; want for example "payments"`)
	case t.Service == "." || t.Service == ".." || strings.Contains(t.Service, "/"):
		return fmt.Errorf("service name %q cannot be asked for: it holds a slash or is a dot segment", t.Service)
	case t.Peer != "" && t.Datacenter != "":
		return errors.New("peer and dc exclude each other")
	case t.Query && (t.Tag != "" || t.Peer != "" || t.Filter != ""):
		return errors.New("a prepared query brings its own tags, peers and filter; only dc goes with it")
	}
	for _, v := range []string{t.Service, t.Tag, t.Datacenter, t.Peer, t.Filter} {
		if strings.ContainsFunc(v, unicode.IsControl) {
			return fmt.Errorf("control character in %q", v)
		}
	}
	return nil
}

// String is the "consul:///" form; ParseTarget reads it back.
func (t Target) String() string {
	params := url.Values{}
	for name, field := range fields {
		if v := *field(&t); v != "" {
			params.Set(name, v)
		}
	}
	if t.Query {
		params.Set("query", "true")
	}
	s := "consul:///" + url.PathEscape(t.Service)
	if len(params) > 0 {
		s += "?" + params.Encode()
	}
	return s
}

// withoutCredentials cuts "user:password@" out of the authority and a token out of the parameters, without trusting s
// to be a URL.
func withoutCredentials(s string) string {
	start := strings.Index(s, "://")
	if start < 0 {
		return s
	}
	start += len("://")
	end := len(s)
	if i := strings.IndexAny(s[start:], "/?#"); i >= 0 {
		end = start + i
	}
	if at := strings.LastIndex(s[start:end], "@"); at >= 0 {
		s = s[:start] + s[start+at+1:]
	}
	return tokenParameter.ReplaceAllString(s, "${1}token=...")
}

var tokenParameter = regexp.MustCompile(`([?&;])token=[^&;#]*`)

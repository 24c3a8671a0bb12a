package consulapi

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/onehop-go/onehop/consul"
)

const (
	defaultAddress = "127.0.0.1:8500"
	defaultWait    = 55 * time.Second
	maxWait        = 60 * time.Second
)

// settings is an Agent with its environment resolved. Comparable: equal settings share one Client.
type settings struct {
	address
	insecure                                  bool // verify no certificate: CONSUL_HTTP_SSL_VERIFY=false
	caFile, caPath, certFile, keyFile, server string
	token, tokenFile                          string // at most one is set
	user, password                            string // HTTP basic authentication
	datacenter, namespace, partition          string
	wait                                      time.Duration
}

// resolve fills an Agent from the environment. It does no I/O and names every wrong value, but never a secret one.
func resolve(a consul.Agent, getenv func(string) string) (settings, error) {
	r := reader{getenv: getenv}
	s := settings{
		address:    r.address(a.Address),
		insecure:   !r.flag("CONSUL_HTTP_SSL_VERIFY", true),
		caFile:     r.either(a.CAFile, "CONSUL_CACERT"),
		caPath:     r.either("", "CONSUL_CAPATH"),
		certFile:   r.either(a.CertFile, "CONSUL_CLIENT_CERT"),
		keyFile:    r.either(a.KeyFile, "CONSUL_CLIENT_KEY"),
		server:     r.either(a.ServerName, "CONSUL_TLS_SERVER_NAME"),
		datacenter: a.Datacenter,
		namespace:  getenv("CONSUL_NAMESPACE"),
		partition:  getenv("CONSUL_PARTITION"),
		wait:       a.Wait,
	}
	r.credentials(a, &s)
	r.check(a, &s)
	return s, errors.Join(r.problems...)
}

// reader collects what is wrong, so that all of it is told at once.
type reader struct {
	getenv   func(string) string
	problems []error
}

func (r *reader) problemf(format string, args ...any) {
	r.problems = append(r.problems, fmt.Errorf("consul agent: "+format, args...))
}

func (r *reader) either(explicit, variable string) string {
	if explicit != "" {
		return explicit
	}
	return r.getenv(variable)
}

func (r *reader) flag(variable string, unset bool) bool {
	v := r.getenv(variable)
	if v == "" {
		return unset
	}
	b, err := strconv.ParseBool(v)
	if err != nil {
		r.problemf("%s is %q; want true or false", variable, v)
	}
	return b
}

func (r *reader) address(explicit string) address {
	source, text := "Address", explicit
	if text == "" {
		source, text = "CONSUL_HTTP_ADDR", r.getenv("CONSUL_HTTP_ADDR")
	}
	if text == "" {
		text = defaultAddress
	}
	a, err := parseAddress(text, r.flag("CONSUL_HTTP_SSL", false))
	if err != nil {
		r.problemf("%s: %w", source, err)
	}
	return a
}

// credentials follow Consul's order: what the code says before the environment, a file before a token.
func (r *reader) credentials(a consul.Agent, s *settings) {
	switch file := r.getenv("CONSUL_HTTP_TOKEN_FILE"); {
	case a.TokenFile != "":
		s.tokenFile = a.TokenFile
	case a.Token != "":
		s.token = a.Token
	case file != "":
		s.tokenFile = file
	default:
		s.token = r.getenv("CONSUL_HTTP_TOKEN")
	}
	if !validToken(s.token) {
		r.problemf("the token holds white space or other characters that no token has")
		s.token = ""
	}
	s.user, s.password, _ = strings.Cut(r.getenv("CONSUL_HTTP_AUTH"), ":")
}

var datacenterName = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

func (r *reader) check(a consul.Agent, s *settings) {
	if (s.certFile == "") != (s.keyFile == "") {
		r.problemf("a client certificate needs both CertFile (CONSUL_CLIENT_CERT) and KeyFile (CONSUL_CLIENT_KEY); only one is set")
	}
	if !s.tls && (a.CAFile != "" || a.CertFile != "" || a.ServerName != "") {
		r.problemf("TLS files or a server name are set, but %s is not asked over TLS; write https:// before the address", s.shown)
	}
	if s.datacenter != "" && !datacenterName.MatchString(s.datacenter) {
		r.problemf("Datacenter is %q; want letters, digits, - and _", s.datacenter)
	}
	if s.wait < 0 || s.wait > maxWait {
		r.problemf("Wait is %v; want 0 (%v) to %v", s.wait, defaultWait, maxWait)
	}
	if s.wait == 0 {
		s.wait = defaultWait
	}
}

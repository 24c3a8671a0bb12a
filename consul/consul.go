// Package consul says how to reach a Consul agent. A leaf: resolver and policy share it without importing each other.
package consul

import (
	"strings"
	"time"
)

// Agent is one Consul agent. An empty field takes its CONSUL_* variable (CONSUL_HTTP_ADDR, ...), then Consul's default.
// Equal Agents share one bounded HTTP client in a process; it closes with the last watch that uses it.
//
// CONSUL_HTTP_ADDR, CONSUL_HTTP_TOKEN, CONSUL_HTTP_TOKEN_FILE, CONSUL_HTTP_AUTH, CONSUL_HTTP_SSL,
// CONSUL_HTTP_SSL_VERIFY, CONSUL_CACERT, CONSUL_CAPATH, CONSUL_CLIENT_CERT, CONSUL_CLIENT_KEY, CONSUL_TLS_SERVER_NAME,
// CONSUL_NAMESPACE and CONSUL_PARTITION mean what they mean to every Consul tool:
// https://developer.hashicorp.com/consul/commands#environment-variables.
type Agent struct {
	Address    string        // "127.0.0.1:8500", "https://host:8501", "unix:///run/consul.sock"
	Token      string        // ACL token; printed by no String, log or error
	TokenFile  string        // read again when it changes; wins over Token
	Datacenter string        // "" the agent's own
	CAFile     string        // PEM; who may sign the agent's certificate; "" the system's
	CertFile   string        // PEM; our certificate for the agent, together with KeyFile
	KeyFile    string        // PEM
	ServerName string        // name in the agent's certificate; "" the host of Address
	Wait       time.Duration // of one blocking query; 0: 55s; at most 60s
}

// String is the address without credentials, or "consul agent of the environment" when Address is empty.
func (a Agent) String() string {
	if a.Address == "" {
		return "consul agent of the environment"
	}
	scheme, rest, found := strings.Cut(a.Address, "://")
	if !found {
		scheme, rest = "", a.Address
	} else {
		scheme += "://"
	}
	// An address with "user:password@" is refused later; until then it must not be printed.
	host, path, hasPath := strings.Cut(rest, "/")
	if at := strings.LastIndexByte(host, '@'); at >= 0 {
		host = host[at+1:]
	}
	if hasPath {
		host += "/" + path
	}
	return scheme + host
}

// GoString is String, so that %#v prints no token.
func (a Agent) GoString() string { return "consul.Agent(" + a.String() + ")" }

// MarshalText is String, so that encoders and structured loggers print no token.
func (a Agent) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

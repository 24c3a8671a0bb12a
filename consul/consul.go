// Package consul says how to reach a Consul agent. A leaf: resolver and policy share it without importing each other.
package consul

import "time"

// Agent is one Consul agent. An empty field takes its CONSUL_* variable (CONSUL_HTTP_ADDR, ...), then Consul's default.
// Equal Agents share one bounded HTTP client in a process; it closes with the last watch that uses it.
type Agent struct {
	Address                               string        // "127.0.0.1:8500", "https://...", "unix:///..."
	Token                                 string        // printed by no String, log or error
	TokenFile                             string        // read again when it changes; wins over Token
	Datacenter                            string        // "" the agent's own
	CAFile, CertFile, KeyFile, ServerName string        // TLS to the agent
	Wait                                  time.Duration // of one blocking query; 0: 55s; at most 60s
}

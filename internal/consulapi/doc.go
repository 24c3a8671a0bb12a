// Package consulapi reads Consul for resolver and policy: hashicorp/consul/api over an http.Client of our own that
// follows no redirect, uses no proxy of the environment, bounds every body and checks the raw headers, whose errors
// consul/api drops.
//
// A process has one counted [Client] per agent and settings, however many watches use it. A watch is a loop of blocking
// queries that compares contents and believes an index only as far as it must; it sends at most one request a second
// under any fault, backs off with jitter and re-reads in full every 5 to 10 minutes. Over plain http all watches share
// fewer than 128 connections, since an agent refuses the 201st of one address
// (https://developer.hashicorp.com/consul/docs/agent/config/config-files#http_max_conns_per_client).
package consulapi

package grpcresolver

import (
	"log/slog"
	"maps"
	"net/url"
	"slices"
)

// ignored says why parameters of mbobakov/grpc-consul-resolver, whose targets are accepted so that a migration is a
// changed import, do nothing here.
var ignored = map[string]string{ //nolint:gosec // reasons, not credentials
	"healthy":            "instances that Consul does not call healthy are never called while others can be",
	"wait":               "consul.Agent has it",
	"limit":              "policy load_balancing.subset bounds the connections",
	"timeout":            "the watch bounds its own requests",
	"near":               "policy load_balancing.prefer_local_zone prefers the near",
	"sort":               "load balancing orders the endpoints",
	"insecure":           "consul.Agent has the TLS settings",
	"max-backoff":        "the watch paces itself",
	"token":              "the onehop.Client has its own; package grpcresolver/register takes one from a target",
	"allow-stale":        "resolver.Consul has it; package grpcresolver/register takes it from a target",
	"require-consistent": "resolver.Consul has it; package grpcresolver/register takes it from a target",
}

// warnIgnored logs the parameters of a target that do nothing. A target is looked up once, and so warned of once.
func warnIgnored(log *slog.Logger, target string) {
	u, err := url.Parse(target)
	if err != nil {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(u.Query())) {
		if why := ignored[name]; why != "" {
			log.Warn("grpcresolver: parameter of the target has no meaning here", "service", u.Path, "parameter", name, "instead", why)
		}
	}
}

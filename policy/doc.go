// Package policy is the resilience data of a service: plain values, decoded over their defaults.
//
// A [Policy] says how calls to one service are bounded, retried, balanced and protected. Operators write it as a YAML or
// JSON document, which [Parse] decodes over a base, so that layers are successive Parses: the values in code, then the
// document for all services, then the service's own. A [Source] ([KV], [Files], [Static]) reads those layers, watches
// them and publishes each complete [Revision]. One table (table.go) names every field with its meaning, its limits and
// its place in the Policy; Parse, Validate, MarshalJSON and Schema are four walks over it, so they cannot disagree.
// Nothing here decides anything about a call: a Policy cannot name endpoints, headers, TLS settings or credentials.
package policy

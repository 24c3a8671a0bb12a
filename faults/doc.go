// Package faults is the project's fault suite: one test for each fault a caller must survive, named after its row in the
// suite's table. Each test brings its fault about with the real thing where there is one (a Consul agent, processes that
// are killed and stopped, raw servers that break HTTP, namespaces of the network, virtual time for hours), and judges the
// outcome by the ledgers of the servers: what reached the wire, never what the client says of itself.
//
// The package has no code beside its tests. Rows that need a privilege skip where it is missing; those that take minutes
// run with ONEHOP_FAULTS=long. `make faults` runs all of them and writes docs/faults.md.
package faults

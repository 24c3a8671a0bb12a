// Package resolver finds the instances of a service.
//
// A [Target] names what is called, a [Resolver] watches it and publishes full [Snapshot] values: every instance the
// source lists, passing or not, never a delta. [Consul] reads the health API by blocking queries, [DNS] asks for SRV
// records, [Static] is a fixed set, and [DiskCache] lets a process start while its source is away. A resolver only
// reports what its source says and how sure that is; which of the listed instances are called is decided elsewhere,
// since discovery is a hint: a failed, malformed or access-filtered read never takes an instance away.
package resolver

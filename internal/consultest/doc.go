// Package consultest starts a real Consul for tests and examples, and the services behind it.
//
// [Start] gives a test an agent, [Run] gives one to a program. The agent is the one CONSUL_HTTP_ADDR names; else the
// `consul` on PATH is started; else Consul is built once from the module in tools/ and kept in the user's cache folder.
// [StartInstance] runs a service in a process of its own that dies, hangs, slows down or fails on command and keeps a
// ledger of the calls it saw. Nothing here is a mock: what a test sees is what Consul and the kernel do.
//
// Every child ends with its test, and on Linux with its parent, however that parent ends. Service names made by [Name]
// and keys under them are unique, so that tests share one agent without seeing each other.
package consultest

import "time"

// TB is the part of testing.TB used here. With it, programs that use this package do not link package testing.
type TB interface {
	Helper()
	Name() string
	Cleanup(func())
	Failed() bool
	Logf(format string, args ...any)
	Fatalf(format string, args ...any)
	Skipf(format string, args ...any)
}

// patience bounds every single step of a test: far above what a loaded machine needs, and above the 30 s by which an agent of
// Consul passes on what is registered with it if its first full synchronisation, in the seconds after its start, meets another
// registration: it then waits for 15 s, and up to 15 s more by chance, and does nothing meanwhile (retryFailInterval in its
// agent/ae).
const patience = time.Minute

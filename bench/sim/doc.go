// Package sim runs the real engine against simulated servers in virtual time.
//
// Nothing of the engine is copied or replaced: each client is an engine.Upstream of its own, its calls go through the
// attempt loop, the health model, gobreaker, the budget and the brake as they do in production. Only the network and the
// servers are simulated, and the clock: a run lives in a testing/synctest bubble, so that minutes take a second or two,
// no timer is ever late, and gobreaker, which reads time.Now, lives in the same time as everything else.
//
// A Scenario says how many servers and clients there are, what arrives, and what goes wrong when. Run plays it and
// returns a Report. The tests of this package are the gates the engine is judged by; the command in ../cmd/sim prints
// and plots the comparison with other algorithms.
package sim

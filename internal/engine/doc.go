// Package engine is the attempt loop that HTTP, gRPC, Do and layer 4 share.
//
// An Upstream is one called service as this process sees it: its endpoints and their health, its policy, its retry
// budget and its brake. A Call travels through Run: it is admitted, then attempts follow one another until one answers
// or nothing is left to do. The loop does not send and does not pick: each Attempt belongs to a protocol, which picks
// through State.Pick, sends, and says in a Result what came back. An attempt ends twice, each exactly once: at the
// final response headers (latency, health, budget, the decision to retry) and when its body or stream is over (in
// flight, observer).
package engine

// Package scale measures how onehop's costs grow: a pick, a snapshot with one change and an idle endpoint's memory from 10 to
// 100,000 endpoints; a program's start and an upstream's memory from 1 to 2,000 upstreams; a call from 1 to 10,000
// goroutines. Picks stand beside those of grpc-go's least_request picker in the same run.
package scale

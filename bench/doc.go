// Package bench measures what the engine costs: a pick in units of grpc-go's least_request picker in the same run, a
// snapshot with one change, an endpoint nobody calls. `go test -bench . -run ^$` prints the figures; package sim beside
// it measures how well the engine decides.
package bench

// Package bench holds what is measured by go test itself: the engine's histogram beside HdrHistogram's. Beside it lie what
// a call costs (peers), how costs grow (scale), what an importer pays (weight), calls end to end (wire), how well the
// engine decides (sim), and the page made of it all (report, cmd/report).
package bench

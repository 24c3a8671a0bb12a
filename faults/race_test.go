//go:build race

package faults

// raced: the race detector makes the process several times as slow.
const raced = true

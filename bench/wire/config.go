package wire

import (
	"bytes"
	"cmp"
	"time"

	"github.com/onehop-go/onehop/bench/report"
)

// config is how thorough a section is. A short one only proves that all works.
type config struct {
	report.Options

	rounds int
}

// newConfig takes the number of rounds that a section needs.
func newConfig(o report.Options, rounds int) *config {
	if o.Short {
		rounds = 1
	}
	return &config{Options: o, rounds: cmp.Or(o.Rounds, rounds)}
}

// scaled is a time of the report, or the tenth of it.
func (c *config) scaled(d time.Duration) time.Duration {
	if c.Short {
		return d / 10
	}
	return d
}

// Write takes the progress of a build, in lines. config is the io.Writer of whatever takes long.
func (c *config) Write(lines []byte) (int, error) {
	for line := range bytes.Lines(lines) {
		c.Log("%s", bytes.TrimSpace(line))
	}
	return len(lines), nil
}

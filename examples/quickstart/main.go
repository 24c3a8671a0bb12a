// Quickstart shows the whole of onehop at work, in a minute and a half, with nothing but Go and git on the machine.
//
// It starts a real Consul (built once from source when none is on PATH), three instances of an HTTP service and three of
// a gRPC service, each a process of its own, writes their policies into Consul KV and drives steady traffic through
// onehop. Then instances are killed, slowed, broken, frozen and deployed anew, the policy changes, and Consul itself dies
// and comes back. Beside it the same traffic goes through what people use without onehop: a list of passing instances
// polled from Consul, and client-side round robin. No call through onehop may fail; the exit status says so.
//
//	go run ./examples/quickstart          # the show
//	go run ./examples/quickstart -keep    # goes on afterwards, so that you can break things by hand
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// settings are the command line's.
type settings struct {
	keep    bool
	lines   bool
	length  time.Duration
	picture string
}

// Exit statuses. A call through onehop that failed is the one thing this program is there to deny.
const (
	exitFailed      = 1 // a call failed, or the show could not be staged
	exitInterrupted = 130
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == instanceCommand {
		os.Exit(instanceMain(os.Args[2:]))
	}
	var s settings
	flag.BoolVar(&s.keep, "keep", false, "go on after the show, until Ctrl-C")
	flag.BoolVar(&s.lines, "lines", false, "print plain lines even on a terminal")
	flag.DurationVar(&s.length, "length", 90*time.Second, "how long the show takes; below 60s things have no time to recover")
	flag.StringVar(&s.picture, "picture", "", "write the screen, as it is at its most interesting, to this SVG `file`")
	flag.Parse()
	os.Exit(run(s))
}

// run stages the show and returns the exit status.
func run(s settings) int {
	// The show brings its own Consul: the caller's must neither be used nor be killed.
	for _, e := range os.Environ() {
		if name, _, _ := strings.Cut(e, "="); strings.HasPrefix(name, "CONSUL_") || name == "ONEHOP_MODE" {
			_ = os.Unsetenv(name) // fails only for names that no environment holds
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second Ctrl-C does not wait for the cleanup

	st, err := raise(ctx, s)
	if err == nil {
		err = st.play(ctx)
	}
	if st != nil {
		st.strike()
	}
	switch {
	case ctx.Err() != nil && (st == nil || !st.finished()):
		fmt.Fprintln(os.Stderr, "interrupted; every process has ended")
		return exitInterrupted
	case err != nil && !errors.Is(err, context.Canceled):
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		return exitFailed
	case st.failed() > 0:
		return exitFailed
	}
	return 0
}

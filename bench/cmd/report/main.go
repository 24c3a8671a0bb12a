// Command report measures onehop beside its peers and writes docs/performance.md. From the folder bench:
//
//	go run ./cmd/report -docs ../docs               # everything, about half an hour
//	go run ./cmd/report -docs ../docs -only call,scale  # these sections; the others stay as they are
//	go run ./cmd/report -docs ../docs -only none        # draws the page anew from the files that are there
//	go run ./cmd/report -docs /tmp/x -short         # minutes of work in seconds, to see that it runs
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

	"github.com/onehop-go/onehop/bench/peers"
	"github.com/onehop-go/onehop/bench/report"
	"github.com/onehop-go/onehop/bench/scale"
	"github.com/onehop-go/onehop/bench/weight"
	"github.com/onehop-go/onehop/bench/wire"
)

// sections by the name that -only asks for; each saves under the name it gives itself.
var sections = []struct {
	name    string
	measure report.Measure
}{
	{"call", peers.Call},
	{"grpc-call", peers.GRPC},
	{"wire", wire.Speed},
	{"failures", wire.Failures},
	{"scale", scale.Scale},
	{"weight", weight.Weight},
}

func main() {
	docs := flag.String("docs", "", "folder of performance.md, required")
	only := flag.String("only", "", "comma-separated names of sections; empty: all")
	short := flag.Bool("short", false, "so little work that only rot is noticed: the figures mean nothing")
	rounds := flag.Int("rounds", 0, "rounds of each section; 0: as many as it needs")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *docs, *only, report.Options{Short: *short, Rounds: *rounds}); err != nil {
		fmt.Fprintln(os.Stderr, "report:", err)
		stop()
		os.Exit(1) //nolint:gocritic // stop has run
	}
}

func run(ctx context.Context, docs, only string, o report.Options) error {
	if docs == "" {
		return errors.New("-docs is missing")
	}
	o.Logf = func(format string, args ...any) {
		fmt.Fprintf(os.Stderr, time.Now().Format("15:04:05 ")+format+"\n", args...)
	}
	for _, s := range sections {
		if only != "" && !contains(only, s.name) {
			continue
		}
		if err := measure(ctx, docs, s.measure, o); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return report.Render(docs)
}

func contains(list, name string) bool {
	for item := range strings.SplitSeq(list, ",") {
		if strings.TrimSpace(item) == name {
			return true
		}
	}
	return false
}

// measure saves each section at once: a later one that fails leaves it.
func measure(ctx context.Context, docs string, m report.Measure, o report.Options) error {
	began := time.Now()
	s, err := m(ctx, o)
	if err != nil {
		return err
	}
	s.Run = report.Ran(ctx, began, o)
	return report.Save(report.Dir(docs), s)
}

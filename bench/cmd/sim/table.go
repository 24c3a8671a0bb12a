package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// table is the outcome in Markdown.
func (o *outcome) table() string {
	var b strings.Builder
	s := &o.scenario
	fmt.Fprintf(&b, "\n**%s** (%d servers, %d clients, %v calls a second, %v)\n\n", s.Name, s.Servers, s.Clients, s.Rate, s.Duration)
	b.WriteString("| algorithm | ok | p50 ms | p99 ms | p99.9 ms | requests a call | busiest server | goodput a second |" + o.again(-1) + "\n")
	b.WriteString("|---|---|---|---|---|---|---|---|" + strings.Repeat("---|", strings.Count(o.again(-1), "|")) + "\n")
	for i, r := range o.reports {
		all := r.All()
		most := 0.0
		for n := range all.PerServer {
			most = max(most, all.Load(n)*float64(len(all.PerServer)))
		}
		fmt.Fprintf(&b, "| %s | %.2f %% | %s | %s | %s | %.3f | %.2f x | %.0f |%s\n", rivals[i].name, 100*all.Share(),
			ms(all.P50), ms(all.P99), ms(all.P999), all.Amplification(), most, float64(all.OK)/s.Duration.Seconds(), o.again(i))
	}
	return b.String()
}

// again is the cell that says when 95 % are ok again for good, where the trouble has an end; of rival -1 its heading.
func (o *outcome) again(i int) string {
	end := o.scenario.Over
	switch {
	case end == 0:
		return ""
	case i < 0:
		return " 95 % ok again after |"
	}
	if d := o.reports[i].Recovered(end, 0.95); d >= 0 {
		return fmt.Sprintf(" %v |", d)
	}
	return " never |"
}

func ms(d time.Duration) string { return fmt.Sprintf("%.1f", float64(d)/float64(time.Millisecond)) }

// The figures stand in the document between these.
const (
	opening = "<!-- figures: written by bench/cmd/sim -->"
	closing = "<!-- end of figures -->"
)

// write puts the tables and the pictures into the documents.
func write(docs string, all []outcome) error {
	path := filepath.Join(docs, "engine.md")
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, rest, ok := strings.Cut(string(text), opening)
	_, after, ok2 := strings.Cut(rest, closing)
	if !ok || !ok2 {
		return fmt.Errorf("%s: the marks are missing", path)
	}
	var b strings.Builder
	b.WriteString(before + opening + "\n")
	pictures, err := draw(filepath.Join(docs, "img"), all)
	if err != nil {
		return err
	}
	b.WriteString(pictures)
	for i := range all {
		b.WriteString(all[i].table())
	}
	b.WriteString("\n" + closing + after)
	return os.WriteFile(path, []byte(b.String()), 0o644) //nolint:gosec // a document
}

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/onehop-go/onehop/bench/sim"
)

// table is the outcome in Markdown.
func (o *outcome) table() string {
	var b strings.Builder
	s := &o.scenario
	fmt.Fprintf(&b, "\n**%s** (%d servers%s, %d clients, %v calls a second, %v)\n\n", s.Name, s.Servers, capacity(s), s.Clients, s.Rate, s.Duration)
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

// capacity says how the servers serve.
func capacity(s *sim.Scenario) string {
	switch {
	case s.Workers == 0:
		return ""
	case s.Sharing:
		return fmt.Sprintf(" of %d cores shared", s.Workers)
	}
	return fmt.Sprintf(" of %d workers and a queue", s.Workers)
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

func ms(d time.Duration) string { return fmt.Sprintf("%.1f", millis(d)) }

// The figures stand in the document between these.
const (
	opening = "<!-- figures: written by bench/cmd/sim -->"
	closing = "<!-- end of figures -->"
)

// write puts the tables and the pictures into the documents.
func write(docs string, all []outcome, sweeps []*sweep) error {
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
	figures, err := figures(filepath.Join(docs, "img"), all, sweeps)
	if err != nil {
		return err
	}
	return os.WriteFile(path, []byte(before+opening+"\n"+figures+"\n"+closing+after), 0o644) //nolint:gosec // a document
}

// figures draws the pictures into img and returns the Markdown of all.
func figures(img string, all []outcome, sweeps []*sweep) (string, error) {
	var b strings.Builder
	pictures, err := drawPictures(img, all)
	if err != nil {
		return "", err
	}
	b.WriteString("\n### What a caller sees while it happens\n" + pictures)
	b.WriteString("\n### Any size, and two speeds\n")
	for _, s := range sweeps {
		if err := s.draw(img); err != nil {
			return "", err
		}
		b.WriteString(drawn(s.title, s.file) + s.text())
	}
	b.WriteString("\n### Every scenario\n")
	for i := range all {
		b.WriteString(all[i].table())
	}
	return b.String(), nil
}

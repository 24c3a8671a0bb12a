package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/onehop-go/onehop/bench/report"
)

// TestShortForm runs every section so briefly that only rot is noticed, and draws the page of it.
func TestShortForm(t *testing.T) {
	docs := t.TempDir()
	if err := run(t.Context(), docs, "", report.Options{Short: true}); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(docs, "performance.md"))
	if err != nil {
		t.Fatal(err)
	}
	saved, err := report.Load(report.Dir(docs))
	if err != nil || len(saved) != len(sections) {
		t.Fatalf("%d files of %d sections, %v", len(saved), len(sections), err)
	}
	for _, s := range saved {
		if !s.Run.Short || !strings.Contains(string(page), "\n## "+s.Title+"\n") {
			t.Errorf("section %s: short %v, or not on the page", s.Name, s.Run.Short)
		}
	}
	if strings.Contains(string(page), "NaN") {
		t.Error("the page has a figure that is none")
	}
}

// go-zero's and hystrix's own goroutines (signals, statistics) have no end.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.IgnoreTopFunction("github.com/zeromicro/go-zero/core/proc.init.1.func1"),
		goleak.IgnoreTopFunction("github.com/zeromicro/go-zero/core/stat.init.1.func1"),
		goleak.IgnoreTopFunction("github.com/afex/hystrix-go/hystrix.(*metricExchange).Monitor"),
		goleak.IgnoreTopFunction("github.com/afex/hystrix-go/hystrix.(*poolMetrics).Monitor"),
	)
}

package faults

import (
	"context"
	"flag"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/onehop-go/onehop/internal/consultest"
)

// suite is the tests of the package with what they share.
type suite struct{ m *testing.M }

// Run implements goleak.TestingM.
func (s suite) Run() int {
	flag.Parse()
	if !isSet("test.parallel") {
		rows := "4" // they wait more than they compute
		if raced {
			rows = "2"
		}
		_ = flag.Set("test.parallel", rows)
	}
	code := s.m.Run()
	if began.Load() {
		if a, err := sharedAgent(); err == nil {
			_ = a.Stop()
		}
	}
	return code
}

func isSet(name string) bool {
	set := false
	flag.Visit(func(f *flag.Flag) { set = set || f.Name == name })
	return set
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(suite{m}) }

var began atomic.Bool

// sharedAgent is the one Consul agent of the rows that do no harm to it: each has services and keys of its own.
var sharedAgent = sync.OnceValues(func() (*consultest.Agent, error) {
	began.Store(true)
	return consultest.Run(context.Background(), os.Stderr)
})

// agent gives t the shared agent.
func agent(t *testing.T) *consultest.Agent {
	t.Helper()
	a, err := sharedAgent()
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// long says whether rows may take minutes.
func long() bool { return os.Getenv("ONEHOP_FAULTS") == "long" }

// unslowed skips a row whose figure is of a rate that a slowed process cannot keep.
func unslowed(t *testing.T) {
	t.Helper()
	if raced {
		t.Skip("its rate is beyond a process under the race detector")
	}
}

// row says which row of the table t is, for the report.
func row(t *testing.T, number int) {
	t.Helper()
	r, ok := table[number]
	if !ok {
		t.Fatalf("row %d is not in the table", number)
	}
	t.Attr("row", fmt.Sprint(number))
	t.Attr("fault", r.fault)
	t.Attr("measure", r.measure)
}

// figuref tells one measured number of a row, for the report.
func figuref(t *testing.T, format string, args ...any) {
	t.Helper()
	text := fmt.Sprintf(format, args...)
	t.Attr("figure", text)
	t.Log(text)
}

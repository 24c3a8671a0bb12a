package wire

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestChildrenGetNoProxiesAndNoSettingsOfTheEnvironment(t *testing.T) {
	got := plainEnv([]string{"PATH=/bin", "http_proxy=x", "HTTPS_PROXY=x", "CONSUL_HTTP_ADDR=x", "ONEHOP_MODE=bypass", "GOMAXPROCS=2"})
	if want := []string{"PATH=/bin", "GOMAXPROCS=2"}; !slices.Equal(got, want) {
		t.Errorf("left %v, want %v", got, want)
	}
}

func TestChildSaysWhyItCannotStart(t *testing.T) {
	_, err := startChild(t.Context(), roleLoad, way{By: "pigeon"})
	if err == nil || !strings.Contains(err.Error(), "pigeon") {
		t.Errorf("got %v, want an error that names the way", err)
	}
}

// Ctrl-C in the middle of a load ends everything that was started.
func TestNothingIsLeftRunning(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	o := shortly(t)
	o.Logf = func(format string, args ...any) {
		if strings.Contains(fmt.Sprintf(format, args...), "c=16") {
			cancel()
		}
	}
	if _, err := Speed(ctx, o); !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v, want the context's end", err)
	}
	if left := children(t); len(left) > 0 {
		t.Errorf("left running: %v", left)
	}
}

func TestKilledInstanceIsToldAndRestarted(t *testing.T) {
	f, err := startFleet(t.Context(), 1)
	defer f.stop()
	if err != nil {
		t.Fatal(err)
	}
	if b := f[0].breaks(t.Context(), time.Nanosecond, nil); b.err != nil {
		t.Fatal(b.err)
	}
	if err := f[0].do(t.Context(), echoRequest{}, nil); err == nil {
		t.Error("a dead instance answered")
	}
	if err := f[0].restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := newNetHTTP(f.http())(t.Context()); err != nil {
		t.Errorf("the restarted instance does not serve: %v", err)
	}
}

// children are the processes that this one has started and that still run.
func children(t *testing.T) []string {
	t.Helper()
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Skipf("no /proc: %v", err)
	}
	var all []string
	for _, thread := range threads {
		b, err := os.ReadFile("/proc/self/task/" + thread.Name() + "/children")
		if err != nil {
			continue // the thread has ended
		}
		all = append(all, strings.Fields(string(b))...)
	}
	return all
}

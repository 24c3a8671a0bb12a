package consultest

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

// get calls an instance under a call id and returns status and body.
func get(ctx context.Context, t *testing.T, i *Instance, call string) (int, string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+i.Addr+"/any", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set(CallIDHeader, call)
	resp, err := apiClient().Do(req)
	if err != nil {
		return 0, "", err
	}
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, strings.TrimSpace(string(body)), errors.Join(err, resp.Body.Close())
}

func TestInstanceBehavesAsTold(t *testing.T) {
	i := StartInstance(t, "one")
	ctx := t.Context()
	if status, body, err := get(ctx, t, i, "a"); status != 200 || body != "one" || err != nil {
		t.Errorf("a fresh instance: %d %q %v", status, body, err)
	}

	i.Behave(t, Behaviour{Status: 503, Calls: 1})
	if status, _, _ := get(ctx, t, i, "b"); status != 503 {
		t.Errorf("told to fail: %d", status)
	}
	if status, _, _ := get(ctx, t, i, "b"); status != 200 {
		t.Errorf("told to fail one call, the second: %d", status)
	}

	i.Behave(t, Behaviour{Mode: Hang})
	leaving, leave := context.WithCancel(ctx)
	defer leave()
	hung := make(chan error, 1)
	go func() {
		_, _, err := get(leaving, t, i, "c")
		hung <- err
	}()
	Until(t, "the call that will hang", func() bool { return i.Ledger(t).Requests == 4 })
	select {
	case err := <-hung:
		t.Errorf("told to hang, and ended: %v", err)
	case <-time.After(50 * time.Millisecond):
		leave()
		if err := <-hung; !errors.Is(err, context.Canceled) {
			t.Errorf("told to hang: %v", err)
		}
	}

	i.Behave(t, Behaviour{Mode: Reset})
	if _, _, err := get(ctx, t, i, "d"); !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("told to reset: %v", err)
	}

	l := i.Ledger(t) // of "c" nothing can be said: whether the caller's leaving or the new behaviour is seen first
	if l.Requests != 5 || l.Executed["a"] != 1 || l.Executed["b"] != 2 || l.Executed["d"] != 1 {
		t.Errorf("ledger %+v", l)
	}
}

func TestInstanceDiesAndComesBack(t *testing.T) {
	i := StartInstance(t, "one")
	i.Behave(t, Behaviour{Mode: Die})
	if _, _, err := get(t.Context(), t, i, "a"); err == nil {
		t.Error("told to die in the call, and answered")
	}
	<-i.proc.done
	if _, _, err := get(t.Context(), t, i, "a"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("dead: %v, want connection refused", err)
	}
	i.Restart(t)
	if status, _, err := get(t.Context(), t, i, "a"); status != 200 || err != nil {
		t.Errorf("back: %d %v", status, err)
	}
}

func TestInstancePausesAndRunsOn(t *testing.T) {
	i := StartInstance(t, "one")
	i.Pause(t)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, _, err := get(ctx, t, i, "a"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("paused: %v", err)
	}
	i.Resume(t)
	if status, _, err := get(t.Context(), t, i, "b"); status != 200 || err != nil {
		t.Errorf("running on: %d %v", status, err)
	}
}

func TestServiceIsFoundWithItsInstances(t *testing.T) {
	a := Start(t)
	name := Name(t, "pay")
	StartService(t, a, name, 2)
	Until(t, "two instances", func() bool { return len(statusOf(t, a, name)) == 4 }) // a node's and a service's check each
}

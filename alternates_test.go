package onehop_test

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/onehop-go/onehop"
	"github.com/onehop-go/onehop/internal/consultest"
	"github.com/onehop-go/onehop/policy"
	"github.com/onehop-go/onehop/resolver"
)

// An instance whose first address is dead is called at its second, without a failed attempt: it is one endpoint.
func TestSecondAddressOfAnInstance(t *testing.T) {
	a := startInstance(t)
	dead := consultest.Addr(t)
	attempts := 0
	patient := policy.Default()
	patient.ConnectTimeout = time.Minute // of both addresses: not one that a busy machine exceeds
	hop := newClient(t, patient, []string{dead + "," + a.addr()}, onehop.WithObserver(onehop.Observer{
		AttemptDone: func(_ context.Context, at onehop.Attempt) {
			attempts++
			if at.Outcome != onehop.OutcomeOK || at.Endpoint.Addr != dead {
				t.Errorf("an attempt at %s: %s, %v", at.Endpoint.Addr, at.Outcome, at.Err)
			}
		},
	}))
	if err := hop.Ready(t.Context(), "pay"); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		conn, err := hop.DialContext(t.Context(), "tcp", "pay:80")
		if err != nil {
			t.Fatal(err)
		}
		if who, err := askOver(conn); err != nil || who != a.addr() {
			t.Errorf("%s answers, %v", who, err)
		}
		_ = conn.Close()
	}
	if attempts != 10 {
		t.Errorf("%d attempts for 10 dials", attempts)
	}
	got, err := onehop.Do(t.Context(), hop.Upstream("pay"), func(_ context.Context, e resolver.Endpoint) (string, error) {
		return e.Alternates[0], nil
	})
	if err != nil || got != a.addr() {
		t.Errorf("Do is told of %q, %v", got, err)
	}
}

// One that has no address left is refused, and comes back by a dial to any of them.
func TestAllAddressesOfAnInstanceAreDead(t *testing.T) {
	opened, closed := make(chan string, 8), make(chan string, 8)
	dead, later := consultest.Addr(t), consultest.Addr(t)
	hop := newClient(t, policy.Default(), []string{dead + "," + later}, onehop.WithObserver(onehop.Observer{
		Decided: func(_ context.Context, d onehop.Decision) {
			switch d.Action {
			case "open":
				opened <- d.Endpoint.Addr
			case "close":
				closed <- d.Endpoint.Addr
			}
		},
	}))
	if _, err := hop.DialContext(t.Context(), "tcp", "pay:80"); onehop.ReasonOf(err) == "" {
		t.Fatalf("dialled nobody: %v", err)
	}
	if got := <-opened; got != dead {
		t.Errorf("%s was opened", got)
	}
	l, err := net.Listen("tcp", later)
	if err != nil {
		t.Skip("the port was taken meanwhile: ", err)
	}
	defer l.Close() //nolint:errcheck // a test's
	for {
		conn, err := hop.DialContext(t.Context(), "tcp", "pay:80")
		if err == nil {
			_ = conn.Close()
		}
		select {
		case got := <-closed:
			if got != dead {
				t.Errorf("%s was closed", got)
			}
			return
		default:
		}
	}
}

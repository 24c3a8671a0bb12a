package onehop_test

import (
	"context"
	"log/slog"
	"testing"

	"github.com/onehop-go/onehop"
	"github.com/onehop-go/onehop/policy"
	"github.com/onehop-go/onehop/resolver"
)

// changing is a resolver whose test says what is listed.
type changing chan []string

func (c changing) Watch(ctx context.Context, _ resolver.Target, publish func(resolver.Snapshot, error)) {
	for {
		select {
		case addrs := <-c:
			s := resolver.Snapshot{Origin: "test"}
			for _, a := range addrs {
				s.Endpoints = append(s.Endpoints, resolver.Endpoint{Addr: a})
			}
			publish(s, nil)
		case <-ctx.Done():
			return
		}
	}
}

// An instance that leaves gets no new connections; those it has live on until their owner closes them.
func TestDialsDrain(t *testing.T) {
	stays, leaves := startInstance(t), startInstance(t)
	lists, drained := make(changing), make(chan string, 1)
	hop, err := onehop.New(
		onehop.WithResolver(lists), onehop.WithPolicies(policy.Static{}), onehop.WithLogger(slog.New(slog.DiscardHandler)),
		onehop.WithObserver(onehop.Observer{Decided: func(_ context.Context, d onehop.Decision) {
			if d.Action == "drain" {
				drained <- d.Endpoint.Addr
			}
		}}),
	)
	if err != nil {
		t.Fatal(err)
	}
	defer hop.Close() //nolint:errcheck // nil
	dial := func() (who string, again func() (string, error)) {
		conn, err := hop.DialContext(t.Context(), "tcp", "pay:5432")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		if who, err = askOver(conn); err != nil {
			t.Fatal(err)
		}
		return who, func() (string, error) { return askOver(conn) }
	}

	hop.Upstream("pay") // its watch begins, and waits for the list
	lists <- []string{stays.addr(), leaves.addr()}
	var held func() (string, error)
	for held == nil { // the one with the fewest is next: the second dial at the latest
		if who, again := dial(); who == leaves.addr() {
			held = again
		}
	}
	lists <- []string{stays.addr()}
	if addr := <-drained; addr != leaves.addr() {
		t.Fatalf("%s was drained", addr)
	}
	for range 10 {
		if who, _ := dial(); who != stays.addr() {
			t.Fatal("a new connection to an instance that has left")
		}
	}
	if who, err := held(); err != nil || who != leaves.addr() {
		t.Errorf("the connection to the instance that has left: %q, %v; want it to live", who, err)
	}
}

package grpcresolver

import (
	"context"
	"testing"

	"google.golang.org/grpc/metadata"

	"github.com/onehop-go/onehop"
	"github.com/onehop-go/onehop/internal/bridge"
	"github.com/onehop-go/onehop/internal/engine"
	"github.com/onehop-go/onehop/policy"
	"github.com/onehop-go/onehop/resolver"
)

func TestMarkReadsTheContext(t *testing.T) {
	hop, err := onehop.New(onehop.WithHashField("x-user"), onehop.WithResolver(resolver.Static{}), onehop.WithPolicies(policy.Static{}))
	if err != nil {
		t.Fatal(err)
	}
	defer hop.Close() //nolint:errcheck // nothing in flight
	up, err := bridge.Upstream(hop, resolver.Target{Service: "svc"})
	if err != nil {
		t.Fatal(err)
	}
	served := metadata.NewIncomingContext(context.Background(), metadata.Pairs("grpc-previous-rpc-attempts", "1"))
	for _, tt := range []struct {
		name    string
		ctx     context.Context
		key     string
		retried bool
	}{
		{"nothing", context.Background(), "", false},
		{"a key", metadata.AppendToOutgoingContext(context.Background(), "X-User", "ann"), "ann", false},
		{"serving a retry", served, "", true},
	} {
		var c, want engine.Call
		want.Keyed(tt.key)
		want.Retried = tt.retried
		if mark(tt.ctx, &c, up); c != want {
			t.Errorf("%s: marked %+v; want %+v", tt.name, c, want)
		}
	}
}

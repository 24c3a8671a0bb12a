package grpcresolver

import (
	"context"

	"google.golang.org/grpc/metadata"

	"github.com/onehop-go/onehop/internal/engine"
)

// mark fills in what the context knows about a call: its options, the key of the ring, and whether the RPC being served
// here is itself a retry.
func mark(ctx context.Context, c *engine.Call, up *engine.Upstream) {
	c.Options = engine.OptionsOf(ctx)
	c.Retried = len(metadata.ValueFromIncomingContext(ctx, previousAttempts)) > 0
	if field := up.HashField(); field != "" {
		if md, ok := metadata.FromOutgoingContext(ctx); ok {
			if values := md.Get(field); len(values) > 0 {
				c.Keyed(values[0])
			}
		}
	}
}

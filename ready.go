package onehop

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/onehop-go/onehop/internal/engine"
	"github.com/onehop-go/onehop/resolver"
)

// Ready waits until each target, in resolver.ParseTarget's grammar, is resolved, its policy read and one of its
// endpoints dialled: call it before taking traffic. It returns when all are ready, or when ctx ends with an error that
// joins one *Error per laggard.
func (c *Client) Ready(ctx context.Context, targets ...string) error {
	if ctx == nil {
		return &Error{Reason: ReasonInvalid, Err: errNilContext}
	}
	errs := make([]error, len(targets))
	var wg sync.WaitGroup
	for i, t := range targets {
		wg.Go(func() { errs[i] = c.ready(ctx, t) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// again is the pause between two rounds over the endpoints of a target that is not ready.
const again = 500 * time.Millisecond

func (c *Client) ready(ctx context.Context, target string) error {
	t, err := resolver.ParseTarget(target)
	if err != nil {
		return &Error{Reason: ReasonInvalid, Err: err}
	}
	u, err := c.upstream(t) //nolint:contextcheck // its watchers outlive the call that begins them
	if err != nil {
		return err
	}
	if err := u.AwaitReady(ctx); err != nil {
		return publicError(err)
	}
	for {
		e := dialAny(ctx, u)
		if e == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			e.Err = fmt.Errorf("%w; %w", ctx.Err(), e.Err)
			return e
		case <-u.Closed():
			return &Error{Reason: ReasonClosed, Target: t, Err: errClosed}
		case <-time.After(again):
		}
	}
}

// dialAny connects to one endpoint after the other until one answers.
func dialAny(ctx context.Context, u *engine.Upstream) *Error {
	why, err := u.NoEndpoints()
	last := &Error{Reason: Reason(why), Target: u.Target(), Err: err}
	for _, e := range u.Set().View().All {
		dctx, cancel := withConnectTimeout(ctx, u)
		conn, err := dialEndpoint(dctx, "tcp", e)
		cancel()
		if err == nil {
			_ = conn.Close()
			return nil
		}
		last.Reason, last.Err = ReasonExhausted, err
	}
	return last
}

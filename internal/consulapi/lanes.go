package consulapi

import (
	"context"
	"time"
)

// The connections of plain http, one request each. Blocking queries wait for a turn and give it back at their end,
// never before: Consul holds the connection of a cancelled KV query until its wait ends. Plain reads have a lane of
// their own, so that a new watch never waits behind blocked ones.
const (
	blockingLane = 100
	plainLane    = maxConns - blockingLane

	// maxTurnWait is how long a watch waits for a turn to block; then it asks plainly.
	maxTurnWait = 8 * time.Second
)

// lanes share out the connections of one Client.
type lanes struct {
	blocking, plain chan struct{}
	unbound         func() bool // HTTP/2 carries every query on few connections
}

func newLanes(unbound func() bool) *lanes {
	return &lanes{blocking: make(chan struct{}, blockingLane), plain: make(chan struct{}, plainLane), unbound: unbound}
}

// enter waits for a place. It reports whether the query may block, and how to leave.
func (l *lanes) enter(ctx context.Context, block bool) (blocking bool, leave func(), err error) {
	if block {
		if l.unbound() {
			return true, func() {}, nil
		}
		timer := time.NewTimer(maxTurnWait)
		defer timer.Stop()
		select {
		case l.blocking <- struct{}{}:
			return true, func() { <-l.blocking }, nil
		case <-ctx.Done():
			return false, nil, ctx.Err()
		case <-timer.C:
		}
	}
	select {
	case l.plain <- struct{}{}:
		return false, func() { <-l.plain }, nil
	case <-ctx.Done():
		return false, nil, ctx.Err()
	}
}

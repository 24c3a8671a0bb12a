package main

import (
	"context"
	"sync"
	"time"
)

// rate is the calls a second on each lane: enough to see, little enough for a laptop that runs all ends of it.
const rate = 50

// callLimit is how long a caller waits for any call.
const callLimit = 2 * time.Second

// call is one call; it returns the name of the instance that answered.
type call func(context.Context) (instance string, err error)

// lane is a stream of equal calls to one service through one client.
type lane struct {
	service string
	call    call
	record
}

// drive calls at a steady rate until ctx ends, whether earlier calls have come back or not, as the world does; it
// returns when the last has. A call that was begun is finished: ctx ends none of them.
func (l *lane) drive(ctx context.Context) {
	var calls sync.WaitGroup
	defer calls.Wait()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for due := time.Now(); ; due = due.Add(time.Second / rate) {
		timer.Reset(time.Until(due))
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			calls.Go(func() { l.once(context.WithoutCancel(ctx), due) })
		}
	}
}

// once makes the call that was due at a moment. Its time runs from then: a driver that is late must not make the
// service look quick.
func (l *lane) once(ctx context.Context, due time.Time) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	instance, err := l.call(ctx)
	now := time.Now()
	l.add(sample{at: now, took: now.Sub(due), instance: instance, failed: err != nil})
}

package httpclient

import (
	"context"
	"sync"
)

// attemptContext is the caller's context made cancelable. It does what context.WithCancelCause does without its
// allocations, which are a third of what an attempt costs: its channel is made when somebody asks for it, and what
// net/http derives from it is told through AfterFunc, which package context looks for, instead of through a map under a
// lock. What is derived from it has ended when cancel returns, as with package context: else net/http dials once more for a
// request that the guard in wire.go has ended. Set Context before use, and give the caller's end to end. Safe for concurrent
// use then.
type attemptContext struct {
	context.Context // the caller's

	mu     sync.Mutex // below
	done   chan struct{}
	cause  error  // what ended it; nil: nothing has
	first  func() // to run at the end: net/http derives one context
	more   *after // what else is to run
	caller bool   // it ended with the caller's
	used   bool   // first was given away once: a stop of it may still come
}

// after is a func that runs when a context ends.
type after struct {
	f    func()
	next *after
}

// cancel ends the context with a cause of ours.
func (c *attemptContext) cancel(cause error) { c.end(cause, false) }

// follow ends the context as the caller's has ended.
func (c *attemptContext) follow() { c.end(context.Cause(c.Context), true) }

func (c *attemptContext) end(cause error, caller bool) {
	c.mu.Lock()
	if c.cause != nil {
		c.mu.Unlock()
		return
	}
	c.cause, c.caller = cause, caller
	if c.done != nil {
		close(c.done)
	}
	first, more := c.first, c.more
	c.first, c.more = nil, nil
	c.mu.Unlock()
	if first != nil {
		first()
	}
	for ; more != nil; more = more.next {
		more.f()
	}
}

// reason is what ended the context; nil: nothing has.
func (c *attemptContext) reason() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cause
}

// Done implements context.Context.
func (c *attemptContext) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done == nil {
		c.done = make(chan struct{})
		if c.cause != nil {
			close(c.done)
		}
	}
	return c.done
}

// Err implements context.Context.
func (c *attemptContext) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.cause == nil:
		return nil
	case c.caller:
		return c.Context.Err()
	}
	return context.Canceled
}

// AfterFunc is what package context ends the contexts derived from this one by: f, which must not block, runs as this one
// ends, or in a goroutine of its own if it has ended, unless stop, which says whether it did so, took it back.
func (c *attemptContext) AfterFunc(f func()) (stop func() bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.cause != nil:
		go f() // package context holds a lock that f takes
		return func() bool { return false }
	case !c.used:
		c.first, c.used = f, true
		return c.takeFirst
	}
	a := &after{f, c.more}
	c.more = a
	return func() bool { return c.take(a) }
}

func (c *attemptContext) takeFirst() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	waiting := c.first != nil
	c.first = nil
	return waiting
}

func (c *attemptContext) take(a *after) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for at := &c.more; *at != nil; at = &(*at).next {
		if *at == a {
			*at = a.next
			return true
		}
	}
	return false
}

var _ context.Context = (*attemptContext)(nil)

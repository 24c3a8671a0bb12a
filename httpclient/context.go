package httpclient

import (
	"context"
	"sync"
)

// attemptContext is the caller's context made cancelable. It does what context.WithCancelCause does without its
// allocations, which are a third of what an attempt costs: its channel is made when somebody asks for it, and what
// net/http derives from it is told through AfterFunc, which package context looks for, instead of through a map under a
// lock. Set Context before use, and call follow where it can end. Safe for concurrent use then.
type attemptContext struct {
	context.Context // the caller's

	mu    sync.Mutex // below
	done  chan struct{}
	err   error     // as Err says it; nil: not ended
	cause error     // what ended it
	after []*func() // to run at the end
	stop  func() bool
}

// follow ends with the caller's context from now on; ended is told, after everybody else, when that comes.
func (c *attemptContext) follow(ended func()) {
	caller := c.Context
	c.stop = context.AfterFunc(caller, func() {
		c.end(caller.Err(), context.Cause(caller))
		ended()
	})
}

// unfollow lets go of the caller's context.
func (c *attemptContext) unfollow() {
	if c.stop != nil {
		c.stop()
	}
}

// cancel ends the context with a cause of ours.
func (c *attemptContext) cancel(cause error) { c.end(context.Canceled, cause) }

func (c *attemptContext) end(err, cause error) {
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return
	}
	c.err, c.cause = err, cause
	if c.done != nil {
		close(c.done)
	}
	after := c.after
	c.after = nil
	c.mu.Unlock()
	for _, f := range after {
		go (*f)()
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
		if c.err != nil {
			close(c.done)
		}
	}
	return c.done
}

// Err implements context.Context.
func (c *attemptContext) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// AfterFunc is what context.AfterFunc and the contexts derived from this one use: f runs in a goroutine of its own once
// this one has ended, unless stop, which says whether it did so, took it back.
func (c *attemptContext) AfterFunc(f func()) (stop func() bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		go f()
		return func() bool { return false }
	}
	c.after = append(c.after, &f)
	return func() bool { return c.forget(&f) }
}

func (c *attemptContext) forget(f *func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, g := range c.after {
		if g == f {
			c.after = append(c.after[:i], c.after[i+1:]...)
			return true
		}
	}
	return false
}

var _ context.Context = (*attemptContext)(nil)

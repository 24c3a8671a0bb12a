package httpclient

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

var errTest = errors.New("the test's")

func TestAttemptContextEnds(t *testing.T) {
	for _, row := range []struct {
		name  string
		end   func(c *attemptContext, cancel context.CancelCauseFunc)
		err   error
		cause error
	}{
		{"by us", func(c *attemptContext, _ context.CancelCauseFunc) { c.cancel(errTest) }, context.Canceled, errTest},
		{"by us, twice", func(c *attemptContext, _ context.CancelCauseFunc) { c.cancel(errTest); c.cancel(errDropped) }, context.Canceled, errTest},
		{"by the caller", func(_ *attemptContext, cancel context.CancelCauseFunc) { cancel(errTest) }, context.Canceled, errTest},
		{"by the caller's deadline", untilDeadline, context.DeadlineExceeded, context.DeadlineExceeded},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				timed, stop := context.WithTimeout(t.Context(), time.Minute)
				defer stop()
				caller, cancel := context.WithCancelCause(timed)
				defer cancel(nil)
				c := &attemptContext{Context: caller}
				context.AfterFunc(caller, c.follow)
				child, cancelChild := context.WithCancel(c)
				defer cancelChild()
				runs := make(chan string, 2)
				context.AfterFunc(c, func() { runs <- "after" })
				taken := context.AfterFunc(c, func() { runs <- "taken back" })
				if !taken() || taken() {
					t.Error("a func was not taken back, or twice")
				}
				if c.Err() != nil || c.reason() != nil {
					t.Error("it ended before it began")
				}
				row.end(c, cancel)
				<-c.Done()
				<-child.Done()
				synctest.Wait()
				if !errors.Is(c.Err(), row.err) || !errors.Is(c.reason(), row.cause) || !errors.Is(child.Err(), row.err) {
					t.Errorf("ended by %v, %v, its child by %v; want %v, %v", c.Err(), c.reason(), child.Err(), row.err, row.cause)
				}
				if got := <-runs; got != "after" || len(runs) != 0 {
					t.Errorf("ran %q and %d more", got, len(runs))
				}
				context.AfterFunc(c, func() { runs <- "late" })
				if got := <-runs; got != "late" {
					t.Errorf("ran %q", got)
				}
			})
		})
	}
}

func untilDeadline(*attemptContext, context.CancelCauseFunc) { time.Sleep(time.Minute) }

// What net/http derives from an attempt must start no goroutine: it would be one for each request.
func TestAChildOfAnAttemptStartsNoGoroutine(t *testing.T) {
	x := &exchange{attemptContext: attemptContext{Context: t.Context()}}
	child, cancel := context.WithCancelCause(x)
	if x.first == nil || x.more != nil {
		t.Error("the attempt's end would not be told to what net/http derives, or by other means")
	}
	cancel(nil)
	if x.first != nil || child.Err() == nil {
		t.Error("the child that ended left something behind")
	}
}

// What net/http derives has ended when cancel returns: it must not write once more in between (wire.go's guard).
func TestAnAttemptEndsWhatIsDerivedAtOnce(t *testing.T) {
	c := &attemptContext{Context: t.Context()}
	var children []context.Context
	for range 3 {
		child, cancel := context.WithCancelCause(c)
		defer cancel(nil)
		children = append(children, child)
	}
	c.cancel(errTest)
	for i, child := range children {
		if child.Err() == nil {
			t.Errorf("child %d has not ended with its parent", i)
		}
	}
}

// What was taken back must not come back with the place that it had, and one's stop must not take another's func.
func TestAStopIsForItsOwnFunc(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &attemptContext{Context: t.Context()}
		ran := make(chan int, 4)
		var stops []func() bool
		for i := range 4 {
			stops = append(stops, c.AfterFunc(func() { ran <- i }))
		}
		for _, i := range []int{0, 2} {
			if !stops[i]() || stops[i]() {
				t.Errorf("%d was not taken back, or twice", i)
			}
		}
		c.cancel(errTest)
		synctest.Wait()
		close(ran)
		sum := 0
		for i := range ran {
			sum += 1 << i
		}
		if sum != 1<<1+1<<3 {
			t.Errorf("ran %b; want 1 and 3", sum)
		}
		if stops[1]() {
			t.Error("what has run was taken back")
		}
	})
}

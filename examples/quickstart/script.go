package main

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"
)

// act is one thing that happens to the services or to Consul.
type act struct {
	second int // of a show of 90
	title  string
	do     func(context.Context, *stage) error
}

// script is the show. Every act is given time to show what it does and what comes of it.
var script = []act{
	{0, "all is well", nil},
	{8, "an instance of each is killed (SIGKILL)", func(_ context.Context, st *stage) error {
		return st.each(1, "killed", (*instance).kill)
	}},
	{16, "both are started again", func(_ context.Context, st *stage) error {
		return st.restart(1)
	}},
	{22, "another turns slow: 300 ms instead of 4", func(_ context.Context, st *stage) error {
		return st.each(2, "slow", func(i *instance) error { return i.tell("slow 300ms") })
	}},
	{31, "a third answers errors at once (500, INTERNAL)", func(_ context.Context, st *stage) error {
		if err := st.each(2, "", func(i *instance) error { return i.tell("recover") }); err != nil {
			return err
		}
		return st.each(3, "failing", func(i *instance) error { return i.tell("fail") })
	}},
	{40, "it recovers", func(_ context.Context, st *stage) error {
		return st.each(3, "", func(i *instance) error { return i.tell("recover") })
	}},
	{45, "the policies in KV change: attempt_timeout 250ms", func(ctx context.Context, st *stage) error {
		if err := st.writePolicy(ctx, httpService, policyChange+httpPolicy); err != nil {
			return err
		}
		return st.writePolicy(ctx, grpcService, policyChange+grpcPolicy)
	}},
	{49, "an instance of each freezes (SIGSTOP)", func(_ context.Context, st *stage) error {
		return st.each(1, "frozen", func(i *instance) error { return i.proc.Pause() })
	}},
	{56, "and runs on (SIGCONT)", func(_ context.Context, st *stage) error {
		return st.each(1, "", func(i *instance) error { return i.proc.Resume() })
	}},
	{61, "a deployment: number 4 comes, number 2 leaves", func(_ context.Context, st *stage) error {
		for _, service := range []string{httpService, grpcService} {
			if err := st.startInstance(service, 4); err != nil {
				return err
			}
		}
		return st.leave(2)
	}},
	{68, "Consul is killed (SIGKILL)", func(_ context.Context, st *stage) error {
		st.view.consul(st.agent.Addr, false)
		return st.agent.KillNow()
	}},
	{72, "with Consul dead, an instance of each is killed", func(_ context.Context, st *stage) error {
		return st.each(3, "killed", (*instance).kill)
	}},
	{79, "Consul and both instances are started again", func(ctx context.Context, st *stage) error {
		if err := st.restart(3); err != nil {
			return err
		}
		err := st.agent.StartAgain(ctx)
		st.view.consul(st.agent.Addr, err == nil)
		return err
	}},
}

// restart starts the n-th instance of both services anew, on their old addresses.
func (st *stage) restart(n int) error {
	return st.each(n, "starting", func(i *instance) error {
		err := i.start()
		if err == nil {
			st.view.reborn(i.name)
		}
		return err
	})
}

// leave ends the n-th instance of both services in order, both at once.
func (st *stage) leave(n int) error {
	var both sync.WaitGroup
	defer both.Wait()
	return st.each(n, "leaving", func(i *instance) error {
		both.Go(func() {
			if i.leave() == nil {
				st.view.state(i.name, "gone")
			}
		})
		return nil
	})
}

// at is the act's moment in a show of some length.
func (a act) at(length time.Duration) time.Duration {
	return length * time.Duration(a.second) / 90
}

// play runs the traffic, the script and the display. It returns when all of it has ended and is summed up.
func (st *stage) play(ctx context.Context) error {
	display := newDisplay(os.Stdout, st)
	st.view.begin(time.Now())
	var traffic, shown sync.WaitGroup
	calling, stopCalls := context.WithCancel(context.WithoutCancel(ctx)) // ctx ends the script; calls and display end after it
	showing, stopShow := context.WithCancel(context.WithoutCancel(ctx))
	for _, l := range st.lanes() {
		traffic.Go(func() { l.drive(calling) })
	}
	shown.Go(func() { display.run(showing) })
	err := st.perform(ctx)
	if err == nil && st.keep {
		st.suggest()
		<-ctx.Done()
	}
	stopCalls()
	traffic.Wait() // every call ends while what it needs still runs
	st.view.end(time.Now())
	stopShow()
	shown.Wait()
	if st.finished() {
		st.sumUp(os.Stdout)
	}
	return err
}

// suggest says what can be done by hand now.
func (st *stage) suggest() {
	st.view.sayf("the show is over; all goes on until Ctrl-C")
	for _, i := range st.named(4) {
		st.view.sayf("kill -9 %d ends %s, kill -STOP and -CONT freeze and thaw it", i.proc.PID(), i.name)
	}
	st.view.sayf("policies: http://%s/ui/dc1/kv/onehop/policy/", st.agent.Addr)
}

// perform goes through the script.
func (st *stage) perform(ctx context.Context) error {
	for _, a := range script {
		if err := st.wait(ctx, a.at(st.length)); err != nil {
			return err
		}
		st.view.act(a.title, time.Now())
		if a.do == nil {
			continue
		}
		if err := a.do(ctx, st); err != nil {
			return fmt.Errorf("%s: %w", a.title, err)
		}
	}
	if err := st.wait(ctx, st.length); err != nil {
		return err
	}
	st.view.finish()
	return nil
}

// wait sleeps until the show has lasted d.
func (st *stage) wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(time.Until(st.view.began().Add(d)))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

package faults

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onehop-go/onehop"
	"github.com/onehop-go/onehop/policy"
	"github.com/onehop-go/onehop/resolver"
)

// places resolves by datacenter; "" is the own, "dc1".
type places map[string][]string

// Watch implements resolver.Resolver.
func (p places) Watch(ctx context.Context, target resolver.Target, publish func(resolver.Snapshot, error)) {
	name := target.Datacenter
	if name == "" {
		name = "dc1"
	}
	var endpoints []resolver.Endpoint
	for _, a := range p[name] {
		endpoints = append(endpoints, resolver.Endpoint{Addr: a, ID: a, Datacenter: name, Status: resolver.Passing})
	}
	publish(resolver.Snapshot{Endpoints: endpoints, Origin: "script"}, nil)
	<-ctx.Done()
}

// turns is how often the movement of a series turns round within any 30 of its values. Changes below a quarter are left out:
// of 100 calls a second that go either way with equal chance 50 are at home, give or take 5, and 19 more or less than a few
// seconds before has been seen.
func turns(shares []float64) (most int) {
	var at []int
	direction, extreme := 0, shares[0]
	for i, s := range shares {
		switch {
		case direction >= 0 && s < extreme-.25, direction <= 0 && s > extreme+.25:
			if direction != 0 {
				at = append(at, i)
			}
			direction = 1
			if s < extreme {
				direction = -1
			}
			extreme = s
		case direction > 0 && s > extreme, direction < 0 && s < extreme:
			extreme = s
		}
	}
	for i := range at {
		n := 0
		for _, later := range at[i:] {
			if later < at[i]+30 {
				n++
			}
		}
		most = max(most, n)
	}
	return most
}

// The own datacenter is gone for 40 s and comes back, then flaps for two minutes, then is well. In virtual time: by the
// second, how many of the calls are served at home.
func TestRow54DirectionChanges(t *testing.T) {
	t.Parallel()
	row(t, 54)
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(t)
		var all [6]string
		var hosts []*host
		for i := range all {
			all[i] = fmt.Sprintf("192.0.2.%d:80", i+1)
			hosts = append(hosts, m.serve(all[i], after(10*time.Millisecond)))
		}
		home := hosts[:3]
		p := policy.Default()
		p.Failover.Datacenters = []string{"dc2"}
		r := places{"dc1": all[:3], "dc2": all[3:]}
		var e eye
		web := m.web(newHop(t, onehop.WithResolver(r), onehop.WithPolicies(policy.Static{"pay": p}), e.option()))
		tr := drive(t, web, "http://pay/", 100)
		var shares []float64
		second := func() {
			calls, served := tr.count(), m.total(home)
			time.Sleep(time.Second)
			shares = append(shares, float64(m.total(home)-served)/float64(max(1, tr.count()-calls)))
		}
		seconds := func(n int) {
			for range n {
				second()
			}
		}
		down := func() {
			for _, x := range home {
				m.kill(x)
			}
		}
		up := func() {
			m.set(func() {
				for _, x := range home {
					x.down = false
				}
			})
		}
		seconds(10)
		down()
		second()
		at := tr.count()
		seconds(40)
		up()
		back, well, first := 0, 0, 0 // seconds until it is home again, until the first there is well, until the first calls go there
		for ; back < 180 && shares[len(shares)-1] < .95; back++ {
			second()
			if well == 0 && e.decided("close") > 0 {
				well = back
			}
			if first == 0 && shares[len(shares)-1] > 0 {
				first = back
			}
		}
		single := turns(shares)
		figuref(t, "home again %d s after it is back, first calls there %d s after the first instance is well, %d change of direction within 30 s at most",
			back, first-well, single)
		for range 24 {
			down()
			seconds(2)
			up()
			seconds(3)
		}
		flapping := turns(shares)
		seconds(180)
		figuref(t, "down 2 s of every 5 s for two minutes: %d changes of direction within 30 s at most; %.0f %% at home in the end",
			flapping, 100*shares[len(shares)-1])
		tr.since(at).wantNoneFailed(t)
		tr.stop()
		// Who comes home and finds it gone again leaves at once: no call may fail. That is two changes, and each time it has
		// been well for ten seconds: three times in thirty.
		if single > 1 || flapping > 6 {
			t.Errorf("the direction changes %d times within 30 s, %d times while it flaps: %.2f", single, flapping, shares)
		}
		if first-well < 9 {
			t.Errorf("calls went home %d s after an instance there was well; want 10 s", first-well)
		}
		if back-first < 5 { // a part of its share each second
			t.Errorf("home again in %d s: all at once", back-first)
		}
		if back >= 180 || shares[len(shares)-1] < .95 {
			t.Errorf("the own datacenter is well again and serves %.2f of the calls", shares[len(shares)-1])
		}
	})
}

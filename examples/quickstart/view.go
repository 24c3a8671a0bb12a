package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/onehop-go/onehop"
	"github.com/onehop-go/onehop/policy"
	"github.com/onehop-go/onehop/resolver"
)

// view is what the display shows beside the traffic: the state of things, and what was done and decided.
type view struct {
	mu        sync.Mutex
	start     time.Time
	stop      time.Time // zero while it runs
	done      bool      // the script has come to its end
	acts      []happening
	events    []happening
	instances []shown // in the order they were started
	consulAt  string
	consulUp  bool
	passing   map[string]int  // by service, as onehop last heard
	deaf      map[string]bool // services whose discovery fails
}

// happening is something at a moment.
type happening struct {
	at   time.Time
	text string
	act  bool // done by the script; else decided by onehop
}

// shown is an instance on the display.
type shown struct {
	name, service, addr string
	state               string // "" as it should be
	avoided             bool   // by onehop
}

func newView() *view {
	return &view{passing: map[string]int{}, deaf: map[string]bool{}}
}

func (v *view) begin(now time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.start, v.events = now, nil // what was before the show is no part of it
}

func (v *view) began() time.Time {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.start
}

func (v *view) end(now time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.stop = now
}

func (v *view) finish() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.done = true
}

// finished says whether the script has come to its end.
func (st *stage) finished() bool {
	st.view.mu.Lock()
	defer st.view.mu.Unlock()
	return st.view.done
}

// act notes that the script does something now.
func (v *view) act(title string, now time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	h := happening{at: now, text: title, act: true}
	v.acts = append(v.acts, h)
	v.events = append(v.events, h)
}

// sayf notes a word to who is watching.
func (v *view) sayf(format string, args ...any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.events = append(v.events, happening{at: time.Now(), text: fmt.Sprintf(format, args...)})
}

// eventf notes what onehop saw or decided, with the time since the act that brought it about.
func (v *view) eventf(format string, args ...any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.note(fmt.Sprintf(format, args...))
}

// note is eventf under the lock.
func (v *view) note(text string) {
	now := time.Now()
	if n := len(v.acts); n > 0 {
		text += ", +" + short(now.Sub(v.acts[n-1].at))
	}
	v.events = append(v.events, happening{at: now, text: text})
}

func (v *view) consul(addr string, up bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.consulAt, v.consulUp = addr, up
}

func (v *view) instance(name, service, addr string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.instances = append(v.instances, shown{name: name, service: service, addr: addr})
	slices.SortStableFunc(v.instances, func(a, b shown) int { // payments above inventory, each in order
		if a.service != b.service {
			if a.service == httpService {
				return -1
			}
			return 1
		}
		return 0
	})
}

func (v *view) state(name, state string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for i := range v.instances {
		if v.instances[i].name == name {
			v.instances[i].state = state
		}
	}
}

// reborn shows an instance as a new process, of which nobody knows anything bad yet.
func (v *view) reborn(name string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for i := range v.instances {
		if v.instances[i].name == name {
			v.instances[i].state, v.instances[i].avoided = "", false
		}
	}
}

// observer is how the show learns what onehop decides. Its functions run on the way of calls: they only take notes.
func (v *view) observer() onehop.Observer {
	return onehop.Observer{
		Decided: func(_ context.Context, d onehop.Decision) {
			switch d.Action {
			case "open":
				v.avoid(d.Endpoint.Addr, true, "onehop avoids")
			case "close":
				v.avoid(d.Endpoint.Addr, false, "onehop uses again")
			}
		},
		Configured: func(_ context.Context, service string, _ policy.Revision, err error) {
			if err == nil {
				v.eventf("the policy of %s is in force", service)
			}
		},
		Resolved: func(_ context.Context, t resolver.Target, s resolver.Snapshot, err error) {
			v.resolved(t.Service, s, err)
		},
	}
}

func (v *view) avoid(addr string, avoided bool, what string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for i := range v.instances {
		if s := &v.instances[i]; s.addr == addr && s.avoided != avoided {
			s.avoided = avoided
			v.note(what + " " + s.name)
		}
	}
}

// resolved notes changes only: an unreachable Consul is reported again and again.
func (v *view) resolved(service string, s resolver.Snapshot, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if err != nil {
		if !v.deaf[service] {
			v.deaf[service] = true
			v.note("Consul does not answer; onehop keeps what it knows of " + service)
		}
		return
	}
	v.deaf[service] = false
	passing := 0
	for _, e := range s.Endpoints {
		if e.Status == resolver.Passing || e.Status == "" {
			passing++
		}
	}
	if passing != v.passing[service] {
		v.passing[service] = passing
		v.note(fmt.Sprintf("Consul now has %d passing instances of %s", passing, service))
	}
}

// short prints a duration for people: three digits at most.
func short(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return "<1 ms"
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	default:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
}

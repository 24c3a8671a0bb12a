package membership

import (
	"testing"
	"time"

	"github.com/onehop-go/onehop/resolver"
)

// An agent that restarts deregisters its instances and registers them again under a new index. They were called all the
// while: they are the same processes, and keep their connections.
func TestAnAgentsRestartBringsNobodysRebirth(t *testing.T) {
	listed := func(index int64, meta map[string]string, addrs ...string) resolver.Snapshot {
		var s resolver.Snapshot
		for _, a := range addrs {
			s.Endpoints = append(s.Endpoints, resolver.Endpoint{Addr: a, Started: time.Unix(0, index), Meta: meta})
		}
		return s
	}
	starts := func(s *Set) map[string]int64 {
		m := map[string]int64{}
		for _, e := range s.Members() {
			m[e.Addr] = e.Started.UnixNano()
		}
		return m
	}
	says := map[string]string{resolver.StartedMeta: "1"}
	for _, tt := range []struct {
		name    string
		refused bool
		meta    map[string]string
		want    int64
	}{
		{"answered all the while", false, nil, 7},
		{"refused a connection", true, nil, 20},
		{"says itself when it started", false, says, 20},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var s Set
			s.Apply(start, listed(7, tt.meta, "a", "b"))
			s.Apply(start.Add(time.Second), listed(0, nil))
			if tt.refused {
				s.Refused(start.Add(2*time.Second), Key{Addr: "a"})
			}
			back := listed(20, tt.meta, "a", "b")
			s.Apply(start.Add(20*time.Second), back)
			s.Apply(start.Add(30*time.Second), back) // read again, and unchanged
			if got := starts(&s)["a"]; got != tt.want {
				t.Errorf("start %d; want %d", got, tt.want)
			}
			s.Apply(start.Add(40*time.Second), listed(33, tt.meta, "a", "b"))
			if got := starts(&s)["a"]; got != 33 {
				t.Errorf("after a real rebirth: start %d; want 33", got)
			}
		})
	}
}

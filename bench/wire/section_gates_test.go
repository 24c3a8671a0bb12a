package wire

import (
	"testing"
	"time"
)

// measured is a comparison in which each path makes so many calls in a second, in each of two rounds.
func measured(calls map[string][2]int) *comparison {
	r := &comparison{cast: &cast{}, base: directHTTP, cells: map[cellKey][]*cell{}}
	for _, k := range httpPaths {
		rounds, here := calls[k.name]
		if !here {
			continue
		}
		r.kinds = append(r.kinds, k)
		for _, n := range rounds {
			c := &cell{samples: samples{Took: time.Second, Latency: make([]time.Duration, n)}}
			for i := range c.Latency {
				c.Latency[i] = time.Second / time.Duration(n)
			}
			key := cellKey{k.name, "c=1"}
			r.cells[key] = append(r.cells[key], c)
		}
	}
	return r
}

func TestTheBestProxyIsTheFastest(t *testing.T) {
	r := measured(map[string][2]int{directHTTP: {900, 900}, "nginx": {100, 100}, "haproxy": {200, 220}, "Traefik": {50, 50}})
	if best := r.bestProxy("c=1", throughput, false); best != "haproxy" {
		t.Errorf("by throughput it is %q", best)
	}
	if best := r.bestProxy("c=1", latency(0.5), true); best != "haproxy" {
		t.Errorf("by latency it is %q", best)
	}
	if best := measured(map[string][2]int{directHTTP: {900, 900}}).bestProxy("c=1", throughput, false); best != "" {
		t.Errorf("without proxies it is %q", best)
	}
}

// A round in which the machine was slow slows both sides of a ratio.
func TestRatiosAreTakenWithinARound(t *testing.T) {
	r := measured(map[string][2]int{directHTTP: {1000, 100}, throughHop: {900, 90}})
	if got := r.ratio(throughHop, r.base, "c=1", throughput); got.Median != 0.9 {
		t.Errorf("ratio %v, want 0.9 as in each round", got)
	}
}

func TestWhatIsNotInstalledIsLeftOutAndTold(t *testing.T) {
	absent := &proxyKind{name: "absent", find: onPath("onehop-no-such-program")}
	got := found(t.Context(), newConfig(shortly(t), 1), []pathKind{{name: "direct"}, {name: "through absent", proxy: absent}})
	if len(got.kinds) != 1 || got.kinds[0].name != "direct" {
		t.Errorf("taken: %+v", got.kinds)
	}
	if want := "It is not installed: apt install onehop-no-such-program."; got.missing["through absent"] != want {
		t.Errorf("told %q, want %q", got.missing["through absent"], want)
	}
}

// An aim that not even a direct call reaches is told so; one that it reaches is ours alone.
func TestAMissThatIsNotOursIsTold(t *testing.T) {
	for name, row := range map[string]struct {
		direct int
		note   string
	}{
		"nobody reaches it": {250, "net/http direct itself is at 1.250 x."},
		"we alone miss it":  {300, ""},
	} {
		r := measured(map[string][2]int{directHTTP: {row.direct, row.direct}, throughHop: {240, 240}, "nginx": {200, 200}})
		aim := atLeast("throughput", 1.3, r.ratio(throughHop, "nginx", "c=1", throughput))
		if got := r.besideDirect(aim, "nginx", "c=1", throughput).Note; got != row.note {
			t.Errorf("%s: noted %q, want %q", name, got, row.note)
		}
	}
}

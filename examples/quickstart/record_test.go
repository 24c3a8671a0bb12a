package main

import (
	"testing"
	"time"
)

func TestStatsOfAStretchOfTime(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var r record
	for i := range 200 { // 10 ms apart; a takes 1 to 100 ms in its turns, b fails at once
		s := sample{at: start.Add(time.Duration(i) * 10 * time.Millisecond), instance: "a", took: time.Duration(i/2+1) * time.Millisecond}
		if i%2 == 1 {
			s = sample{at: s.at, instance: "b", failed: true}
		}
		r.add(s)
	}
	for _, row := range []struct {
		name     string
		from, to time.Duration
		instance string
		want     stats
	}{
		{"all of a", 0, time.Hour, "a", stats{calls: 100, p50: 50 * time.Millisecond, p99: 99 * time.Millisecond}},
		{"all of b", 0, time.Hour, "b", stats{calls: 100, failed: 100}},
		{"everything", 0, time.Hour, "", stats{calls: 200, failed: 100, p99: 98 * time.Millisecond}},
		{"the end is not in it", 0, 10 * time.Millisecond, "", stats{calls: 1, p50: time.Millisecond, p99: time.Millisecond}},
		{"the beginning is", 1980 * time.Millisecond, time.Hour, "a", stats{calls: 1, p50: 100 * time.Millisecond, p99: 100 * time.Millisecond}},
		{"nothing", time.Minute, time.Hour, "", stats{}},
	} {
		t.Run(row.name, func(t *testing.T) {
			if got := r.between(start.Add(row.from), start.Add(row.to), row.instance); got != row.want {
				t.Errorf("got %+v, want %+v", got, row.want)
			}
		})
	}
}

package sim

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestSharing: the instants at which requests are served are those of the textbook.
func TestSharing(t *testing.T) {
	type job struct{ at, needs, want time.Duration } // want: served at
	ms := time.Millisecond
	rows := []struct {
		name  string
		cores int
		slow  time.Duration // the speed halves then; 0: never
		jobs  []job
	}{
		{"alone", 1, 0, []job{{0, 10 * ms, 10 * ms}}},
		{"two share one core", 1, 0, []job{{0, 10 * ms, 20 * ms}, {0, 10 * ms, 20 * ms}}},
		{"a short one does not wait for a long one", 1, 0, []job{{0, 100 * ms, 110 * ms}, {10 * ms, 10 * ms, 30 * ms}}},
		{"a core for each", 2, 0, []job{{0, 10 * ms, 10 * ms}, {0, 20 * ms, 20 * ms}}},
		{"three share two cores", 2, 0, []job{{0, 10 * ms, 15 * ms}, {0, 10 * ms, 15 * ms}, {0, 20 * ms, 25 * ms}}},
		{"slower half way", 1, 5 * ms, []job{{0, 10 * ms, 15 * ms}}},
		{"empty in between", 1, 0, []job{{0, 10 * ms, 10 * ms}, {50 * ms, 10 * ms, 60 * ms}}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, start := newSharing(row.cores), time.Now()
				if row.slow > 0 {
					time.AfterFunc(row.slow, func() { s.pace(0.5) })
				}
				got := make([]time.Duration, len(row.jobs))
				for i, j := range row.jobs {
					time.AfterFunc(j.at, func() { s.add(j.needs, func() { got[i] = time.Since(start) }) })
				}
				time.Sleep(time.Second)
				for i, j := range row.jobs {
					if (got[i] - j.want).Abs() > time.Microsecond {
						t.Errorf("request %d was served at %v, want %v", i, got[i], j.want)
					}
				}
			})
		})
	}
}

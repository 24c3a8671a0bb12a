package health

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/onehop-go/onehop/policy"
)

func TestCapacityOfALoad(t *testing.T) {
	for _, row := range []struct {
		load Load
		want float64
	}{
		{Load{}, 0},
		{Load{Rate: 100, Utilization: .5}, 200},
		{Load{Rate: 100, Utilization: 2}, 50}, // beyond what it can take
		{Load{Rate: 100, Utilization: .5, Errors: 50}, 100},
		{Load{Rate: 100}, 0},
		{Load{Rate: 100, Errors: 50}, 0}, // its errors alone say nothing of what it can take
		{Load{Utilization: .5}, 0},
		{Load{Rate: -1, Utilization: .5}, 0},
		{Load{Rate: 1, Utilization: .5, Errors: -1}, 0},
		{Load{Rate: math.NaN(), Utilization: 1}, 0},
		{Load{Rate: math.Inf(1), Utilization: 1}, 0},
		{Load{Rate: math.MaxFloat64, Utilization: math.SmallestNonzeroFloat64}, 0},
	} {
		if got := row.load.capacity(); got != row.want {
			t.Errorf("%+v: %v, want %v", row.load, got, row.want)
		}
	}
}

// able is a load from which that capacity follows.
func able(capacity float64) Load { return Load{Rate: capacity, Utilization: 1} }

// tell lets the endpoints report for so long, ten times a second; 0 is silent. Picks bring it into force.
func (w *world) tell(d time.Duration, capacities ...float64) {
	for end := Now() + d; Now() < end; time.Sleep(loadUpdate / 10) {
		for i, c := range capacities {
			if c != 0 {
				w.Reported(Now(), w.e(i), able(c))
			}
		}
		w.Pick(Now(), w.View(), Want{})
	}
}

// wantShares draws many times and compares the shares, in hundredths; where they are drawn at random, one is six sigma.
func (w *world) wantShares(want ...int) {
	w.t.Helper()
	const draws = 90000
	got := map[*Endpoint]int{}
	for range draws {
		e, _ := w.Pick(Now(), w.View(), Want{})
		got[e]++
	}
	for i, share := range want {
		if g := 100 * float64(got[w.e(i)]) / draws; math.Abs(g-float64(share)) > 1 {
			w.t.Errorf("%s has %.1f %% of the calls, want %d", w.e(i).Addr(), g, share)
		}
	}
}

func (w *world) balance(a policy.Algorithm) {
	s := settings()
	s.LoadBalancing.Algorithm = a
	w.Configure(s)
}

// Reports count after the blackout, and until they have not come for the expiry (gRFC A58).
func TestReportsCountAfterABlackoutAndExpire(t *testing.T) {
	for _, a := range []policy.Algorithm{policy.RoundRobin, policy.P2CEWMA, policy.LeastRequest} {
		inWorld(t, 2, func(w *world) {
			w.balance(a)
			w.tell(9*time.Second, 300, 100)
			w.wantShares(50, 50)
			w.tell(2*time.Second, 300, 100)
			w.wantShares(75, 25)
			time.Sleep(3*time.Minute - 2*time.Second)
			w.wantShares(75, 25)
			time.Sleep(2 * time.Second)
			w.wantShares(50, 50)
			w.tell(time.Second, 300, 100) // another blackout
			w.wantShares(50, 50)
		})
	}
}

func TestReportsOfSome(t *testing.T) {
	for name, row := range map[string]struct {
		listed     []int
		capacities []float64
		shares     []int
	}{
		"nobody":                            {[]int{1, 3}, []float64{0, 0}, []int{25, 75}},
		"one alone has nobody to differ of": {[]int{1, 1}, []float64{700, 0}, []int{50, 50}},
		"the silent are taken for the mean": {[]int{1, 1, 1}, []float64{300, 100, 0}, []int{50, 17, 33}},
		"a listed weight is not doubled":    {[]int{2, 1}, []float64{200, 100}, []int{67, 33}},
		"a canary stays one":                {[]int{10, 10, 1}, []float64{300, 100, 900}, []int{71, 24, 5}},
		"a tenth of the mean at least":      {[]int{1, 1, 1}, []float64{1e-9, 1e-9, 1e9}, []int{3, 3, 94}},
		"ten times the mean at most":        {slices.Repeat([]int{1}, 31), append([]float64{1e9}, slices.Repeat([]float64{1e-9}, 30)...), []int{77, 1, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, len(row.listed), func(w *world) {
				list := members(len(row.listed))
				for i := range list {
					list[i].Weight = row.listed[i]
				}
				w.Update(Now(), Tier{Members: list})
				w.balance(policy.RoundRobin)
				w.tell(loadBlackout+2*loadUpdate, row.capacities...)
				w.wantShares(row.shares...)
				w.Update(Now(), Tier{Members: list}) // a snapshot does not forget them
				w.wantShares(row.shares...)
			})
		})
	}
}

// TestTheCapacityThatCounts, and when that changes by itself: reports come at these instants, and are asked at another.
func TestTheCapacityThatCounts(t *testing.T) {
	const s, m = time.Second, time.Minute
	rows := []struct {
		name  string
		at    []time.Duration
		asked time.Duration
		want  float64
		until time.Duration
	}{
		{"in the blackout", []time.Duration{0}, 10*s - 1, 0, 10 * s},
		{"after it", []time.Duration{0}, 10 * s, 100, 3 * m},
		{"just before it expires", []time.Duration{0}, 3*m - 1, 100, 3 * m},
		{"expired", []time.Duration{0}, 3 * m, 0, time.Duration(never)},
		{"repeated", []time.Duration{0, 5 * s, 12 * s}, 13 * s, 100, 12*s + 3*m},
		{"repeated in time", []time.Duration{0, 3*m - 1}, 3 * m, 100, 6*m - 1},
		{"repeated too late: all begins anew", []time.Duration{0, 3 * m}, 3*m + 10*s - 1, 0, 3*m + 10*s},
		{"and counts in its turn", []time.Duration{0, 3 * m}, 3*m + 10*s, 100, 6 * m},
	}
	for _, row := range rows {
		var r reports
		for _, at := range row.at {
			r.add(time.Hour+at, 100)
		}
		got, until := r.usable(time.Hour + row.asked)
		if until != time.Duration(never) {
			until -= time.Hour
		}
		if got != row.want || until != row.until {
			t.Errorf("%s: %v until %v, want %v until %v", row.name, got, until, row.want, row.until)
		}
	}
}

// TestReportsAreObeyedASecondLater by the next pick, and not before.
func TestReportsAreObeyedASecondLater(t *testing.T) {
	inWorld(t, 2, func(w *world) {
		before := w.View()
		w.Reported(Now(), w.e(0), able(100))
		time.Sleep(time.Second - 1)
		if w.Pick(Now(), w.View(), Want{}); w.View() != before {
			w.t.Error("obeyed before a second was over")
		}
		time.Sleep(time.Nanosecond)
		if w.Pick(Now(), w.View(), Want{}); w.View() == before {
			w.t.Error("a second later nothing has come of it")
		}
	})
}

// One whose reports do not count yet is taken for the mean of those whose do.
func TestALateReporterIsTakenForTheMean(t *testing.T) {
	inWorld(t, 3, func(w *world) {
		w.balance(policy.RoundRobin)
		w.tell(12*time.Second, 300, 100, 0)
		w.tell(3*time.Second, 300, 100, 900)
		w.wantShares(50, 17, 33)
	})
}

// However many report, the view is replaced once a second at most, and watchers hear nothing of it.
func TestReportsAreCoalesced(t *testing.T) {
	inWorld(t, 2, func(w *world) {
		heard := make(chan struct{}, 1)
		defer w.Watch(heard)()
		views := map[*View]bool{w.View(): true}
		for range 10_000 {
			w.Reported(Now(), w.e(0), able(300))
			w.Reported(Now(), w.e(1), able(100))
			w.Pick(Now(), w.View(), Want{})
			views[w.View()] = true
			time.Sleep(time.Millisecond)
		}
		if n := len(views); n < 10 || n > 11 {
			t.Errorf("%d views in 10 s", n)
		}
		select {
		case <-heard:
			t.Error("watchers were woken")
		default:
		}
	})
}

// An instance that could not be reached begins anew: another process may have taken its place.
func TestUnreachableForgetsReports(t *testing.T) {
	inWorld(t, 2, func(w *world) {
		w.balance(policy.RoundRobin)
		w.tell(loadBlackout+2*loadUpdate, 300, 100)
		e := w.e(0)
		w.Unreachable(Now(), e, errDial, accepting)
		time.Sleep(settings().CircuitBreaker.OpenFor * 2)
		w.Pick(Now(), w.View(), Want{})
		w.tell(policy.Default().LoadBalancing.SlowStart+loadUpdate, 0, 100)
		if !e.Available() {
			t.Fatal("it is still avoided")
		}
		w.wantShares(50, 50)
	})
}

// Where nobody reports there is nothing to do for it, and a pick allocates nothing where somebody does.
func TestPicksAfterReportsAllocateNothing(t *testing.T) {
	inWorld(t, 3, func(w *world) {
		before := w.View()
		w.Reported(Now(), w.e(0), Load{})
		time.Sleep(time.Hour)
		w.Pick(Now(), w.View(), Want{})
		if w.View() != before || w.due.Load() != never {
			t.Error("an empty report made work")
		}
		w.tell(loadBlackout+2*loadUpdate, 300, 100, 200)
		v := w.View()
		if n := testing.AllocsPerRun(100, func() { w.Pick(Now(), v, Want{}) }); n != 0 {
			t.Error(fmt.Sprint(n, " allocations a pick"))
		}
	})
}

package health

import (
	"context"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onehop-go/onehop/resolver"
)

func TestTheFirstSnapshotHasNoSlowStart(t *testing.T) {
	inWorld(t, 2, func(w *world) {
		t := w.t
		w.Update(Now(), Tier{Members: members(3)})
		if since := w.e(0).since.Load(); since != 0 {
			t.Error("an endpoint of the first snapshot starts slowly: all of them would")
		}
		if since := w.e(2).since.Load(); since != int64(Now()) {
			t.Error("one that came later does not")
		}
	})
}

func TestAnEmptySnapshotIsNoFirst(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		t := w.t
		if e, probe := w.Pick(Now(), w.View(), Want{}); e != nil || probe != nil {
			t.Fatal("a pick from nothing")
		}
		w.Update(Now(), Tier{Members: members(2)})
		if since := w.e(0).since.Load(); since != 0 {
			t.Error("the first endpoints start slowly")
		}
	})
}

func TestUpdateKeepsStateByIdentity(t *testing.T) {
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	one := func(change func(*resolver.Endpoint)) []resolver.Endpoint {
		m := resolver.Endpoint{Addr: "a:80", ID: "n/1", Started: start, Weight: 1}
		change(&m)
		return []resolver.Endpoint{m}
	}
	rows := []struct {
		name   string
		change func(*resolver.Endpoint)
		keeps  bool
	}{
		{"the same", func(*resolver.Endpoint) {}, true},
		{"another weight", func(m *resolver.Endpoint) { m.Weight = 5 }, true},
		{"another status", func(m *resolver.Endpoint) { m.Status = resolver.Warning }, true},
		{"start unknown", func(m *resolver.Endpoint) { m.Started = time.Time{} }, true},
		{"the same start in another zone", func(m *resolver.Endpoint) { m.Started = start.In(time.FixedZone("x", 3600)) }, true},
		{"reborn", func(m *resolver.Endpoint) { m.Started = start.Add(time.Second) }, false},
		{"another id", func(m *resolver.Endpoint) { m.ID = "n/2" }, false},
		{"another address", func(m *resolver.Endpoint) { m.Addr = "b:80" }, false},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			inWorld(t, 0, func(w *world) {
				t := w.t
				w.Update(Now(), Tier{Members: one(func(*resolver.Endpoint) {})})
				before := w.e(0)
				w.report(before, OK)
				after := one(row.change)
				w.Update(Now(), Tier{Members: after})
				if kept := w.e(0) == before; kept != row.keeps {
					t.Errorf("kept = %v, want %v", kept, row.keeps)
				}
				if w.e(0).Info() != &after[0] {
					t.Error("Info is not what discovery said last")
				}
				if before.Gone() == row.keeps {
					t.Errorf("gone = %v", before.Gone())
				}
			})
		})
	}
}

func TestTheOpenStayOpenAcrossSnapshots(t *testing.T) {
	inWorld(t, 3, func(w *world) {
		t := w.t
		w.trip(w.e(0))
		w.Update(Now(), Tier{Members: append(members(3), resolver.Endpoint{Addr: "new:80"})})
		if w.e(0).Available() || len(w.View().Available) != 3 {
			t.Error("a snapshot closed it")
		}
	})
}

func TestListedTwiceIsOne(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		t := w.t
		w.Update(Now(), Tier{Members: append(members(2), members(2)...)})
		if n := len(w.View().All); n != 2 {
			t.Errorf("%d endpoints, want 2", n)
		}
	})
}

type pool struct{ drained int }

func (p *pool) Drain() { p.drained++ }

func TestAttached(t *testing.T) {
	inWorld(t, 2, func(w *world) {
		t := w.t
		e := w.e(0)
		made := 0
		create := func(*Endpoint) Attachment { made++; return &pool{} }
		a, _ := e.Attached("a", create).(*pool)
		b, _ := e.Attached("b", create).(*pool)
		if a == b || e.Attached("a", create) != a || e.Attached("b", create) != b || made != 2 {
			t.Fatal("each owner has one attachment of its own")
		}
		e.Detach("a")
		w.Update(Now(), Tier{Members: members(2)[1:]})
		w.Update(Now(), Tier{Members: members(2)[1:]})
		if a.drained != 0 || b.drained != 1 {
			t.Errorf("drained %d and %d times, want 0 and 1", a.drained, b.drained)
		}
	})
}

// TestPickPrefers follows an attempt's order of preference.
func TestPickPrefers(t *testing.T) {
	inWorld(t, 4, func(w *world) {
		t := w.t
		a, b, c, d := w.e(0), w.e(1), w.e(2), w.e(3)
		w.trip(d)
		always := func(what string, want *Endpoint, tried ...*Endpoint) {
			t.Helper()
			for range 50 {
				if got, _ := w.Pick(Now(), w.View(), Want{Tried: tried}); got != want {
					t.Fatalf("%s: %s, want %s", what, got.Addr(), want.Addr())
				}
			}
		}
		always("available and untried", c, a, b)
		for range 50 {
			if got, _ := w.Pick(Now(), w.View(), Want{Tried: []*Endpoint{a, b, c}}); got == d {
				t.Fatal("an open endpoint while a tried one is available")
			}
		}
		if w.View().Untried([]*Endpoint{a, b, c}) || !w.View().Untried([]*Endpoint{a, b}) {
			t.Error("Untried is about available endpoints")
		}
		for _, e := range []*Endpoint{a, b, c} {
			e.consec.Store(2)
		}
		always("all available fail in a row: one avoided for its failures", d, a, b, c)
		d.redial = refusing
		for range 50 {
			if got, _ := w.Pick(Now(), w.View(), Want{Tried: []*Endpoint{a, b, c}}); got == d {
				t.Fatal("one that no dial reached is left to our own dials")
			}
		}
		for _, e := range []*Endpoint{a, b, c} {
			w.open(Now(), e, nil)
		}
		always("none available: untried", d, a, b, c)
	})
}

func TestTheCheaperOfTwo(t *testing.T) {
	inWorld(t, 2, func(w *world) {
		t := w.t
		w.report(w.e(0), OK)
		w.Report(w.e(1), Report{Outcome: OK, Start: Now() - time.Second, Now: Now()})
		for range 100 {
			if e, _ := w.Pick(Now(), w.View(), Want{}); e != w.e(0) {
				t.Fatal("the slower one was picked")
			}
		}
	})
}

func TestModesThatDoNotApplyUseAll(t *testing.T) {
	inWorld(t, 3, func(w *world) {
		t := w.t
		w.trip(w.e(0))
		set := settings()
		set.Apply = false
		w.Configure(set)
		seen := map[*Endpoint]bool{}
		for range 3000 {
			e, _ := w.Pick(Now(), w.View(), Want{})
			e.Begin(false)
			seen[e] = true
		}
		if !seen[w.e(0)] {
			t.Error("the open endpoint is avoided though breakers are only observed")
		}
	})
}

func TestRoundRobinFollowsWeights(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		t := w.t
		set := settings()
		set.LoadBalancing.Algorithm = "round_robin"
		list := members(3)
		list[0].Weight, list[1].Weight = 5, 3
		w.Update(Now(), Tier{Members: list})
		w.Configure(set)
		got := map[string]int{}
		for range 900 {
			e, _ := w.Pick(Now(), w.View(), Want{})
			got[e.Addr()]++
		}
		if got["e0:80"] != 500 || got["e1:80"] != 300 || got["e2:80"] != 100 {
			t.Errorf("%v, want 500, 300 and 100", got)
		}
	})
}

// TestAnyOrderOfEventsKeepsTheViewTrue drives the set at random and compares its view with the endpoints' states.
func TestAnyOrderOfEventsKeepsTheViewTrue(t *testing.T) {
	inWorld(t, 5, func(w *world) {
		t := w.t
		random := rand.New(rand.NewPCG(1, 2))
		for range 20_000 {
			e := w.e(random.IntN(len(w.View().All)))
			switch random.IntN(12) {
			case 0:
				w.refuse(e, []func(context.Context) error{refusing, accepting}[random.IntN(2)])
			case 1:
				n := 2 + random.IntN(8)
				w.Update(Now(), Tier{Members: members(n)})
			case 2:
				time.Sleep(time.Duration(random.IntN(5000)) * time.Millisecond)
			case 3:
				if _, probe := w.Pick(Now(), w.View(), Want{Probe: true}); probe != nil && random.IntN(4) > 0 {
					probe(Outcome(random.IntN(6)))
				}
			default:
				w.report(e, Outcome(random.IntN(6)))
			}
			w.check(t)
		}
	})
}

// check compares the view with the states of its endpoints.
func (w *world) check(t *testing.T) {
	t.Helper()
	synctest.Wait() // dials of our own under way
	v := w.View()
	n := 0
	due := never
	for _, e := range v.All {
		if e.Available() {
			n++
			continue
		}
		due = min(due, e.retryAt.Load())
		if openFor(e) > 72*time.Second {
			t.Fatalf("open for %v", openFor(e))
		}
	}
	if n != len(v.Available) || len(v.All)-n != len(v.open) {
		t.Fatalf("%d of %d are available, the view says %d and %d open", n, len(v.All), len(v.Available), len(v.open))
	}
	if s := min(w.Set.due.Load(), w.dueCall.Load()); s != due {
		t.Fatalf("the next probe is due at %d, the set says %d", due, s)
	}
}

// An observer that counts who is avoided must hear of a new incarnation: it is nobody's open breaker any more.
func TestTheEndOfAnAvoidedIncarnationIsTold(t *testing.T) {
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	started := func(at time.Time) []resolver.Endpoint {
		list := members(3)
		list[0].Started = at
		return list
	}
	rows := []struct {
		name  string
		trip  bool
		after []resolver.Endpoint
		want  []string
	}{
		{"avoided and reborn", true, started(start.Add(time.Hour)), []string{"e0:80 opened", "e0:80 drained", "e0:80 closed"}},
		{"well and reborn", false, started(start.Add(time.Hour)), []string{"e0:80 drained"}},
		{"avoided and gone", true, members(3)[1:], []string{"e0:80 opened", "e0:80 drained"}},
		{"avoided and still there", true, started(start), []string{"e0:80 opened"}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			inWorld(t, 0, func(w *world) {
				w.Update(Now(), Tier{Members: started(start)})
				if row.trip {
					w.trip(w.e(0))
				}
				w.Update(Now(), Tier{Members: row.after})
				if !slices.Equal(w.told, row.want) {
					w.t.Errorf("told %q, want %q", w.told, row.want)
				}
			})
		})
	}
}

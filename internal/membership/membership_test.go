package membership

import (
	"strings"
	"testing"
	"time"

	"github.com/onehop-go/onehop/resolver"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// snapshot reads "a b! c~ d?": a and c pass (c with a warning), b is critical, d in maintenance.
func snapshot(text string) resolver.Snapshot {
	var snap resolver.Snapshot
	for name := range strings.FieldsSeq(text) {
		e := resolver.Endpoint{Addr: strings.TrimRight(name, "!~?")}
		switch strings.TrimPrefix(name, e.Addr) {
		case "!":
			e.Status = resolver.Critical
		case "~":
			e.Status = resolver.Warning
		case "?":
			e.Status = resolver.Maintenance
		}
		snap.Endpoints = append(snap.Endpoints, e)
	}
	return snap
}

// show writes the members of s, the held ones in parentheses.
func show(s *Set) string {
	var names []string
	for _, m := range s.Members() {
		if m.Held {
			names = append(names, "("+m.Addr+")")
		} else {
			names = append(names, m.Addr)
		}
	}
	return strings.Join(names, " ")
}

// step is a snapshot or a refused connection at a second of the script, and the set after it.
type step struct {
	at       float64
	snapshot string
	refused  string // an address; then there is no snapshot
	want     string
}

func TestSet(t *testing.T) {
	tick := "tick"
	for name, script := range map[string][]step{
		"first snapshot is taken as it is": {
			{0, "a b! c~ d?", "", "a c"},
		},
		"nothing at first, then something": {
			{0, "", "", ""},
			{1, "a", "", "a"},
		},
		"rolling deploy: the lost drain at once": {
			{0, "a b c", "", "a b c"},
			{1, "b c d", "", "b c d"},
			{2, "c d e", "", "c d e"},
		},
		"exactly half is applied": {
			{0, "a b c d", "", "a b c d"},
			{1, "a b", "", "a b"},
			{2, "a", "", "a"},
			{3, "", "", "(a)"},
		},
		"critical instances drain while half passes": {
			{0, "a b c d", "", "a b c d"},
			{1, "a b c! d!", "", "a b"},
		},
		"gone ones are held for 30 s": {
			{0, "a b c d e", "", "a b c d e"},
			{1, "a", "", "a (b) (c) (d) (e)"},
			{30.9, tick, "", "a (b) (c) (d) (e)"},
			{31, tick, "", "a"},
			{32, "", "", "(a)"}, // settled at 1
		},
		"a repeated snapshot does not lengthen it": {
			{0, "a b c", "", "a b c"},
			{1, "a", "", "a (b) (c)"},
			{20, "a", "", "a (b) (c)"},
			{31, tick, "", "a"},
		},
		"who is lost later leaves later": {
			{0, "a b c d e f", "", "a b c d e f"},
			{1, "a b", "", "a b (c) (d) (e) (f)"},
			{11, "a", "", "a (b) (c) (d) (e) (f)"},
			{31, tick, "", "a (b)"},
			{41, tick, "", "a"},
		},
		"critical ones are held as long as they answer": {
			{0, "a b c d e", "", "a b c d e"},
			{1, "a b! c! d! e!", "", "a (b) (c) (d) (e)"},
			{3600, tick, "", "a (b) (c) (d) (e)"},
			{3601, "", "c", "a (b) (d) (e)"},
			{3602, "a b! c! d! e!", "", "a (b) (d) (e)"}, // refused: for good
			{3603, "a b! c d! e!", "", "a (b) c (d) (e)"},
			{3604, "a b! c d e!", "", "a c d"},
		},
		"a critical one that is gone later has 30 s from then": {
			{0, "a b c", "", "a b c"},
			{1, "a b! c!", "", "a (b) (c)"},
			{100, "a c!", "", "a (b) (c)"},
			{129.9, tick, "", "a (b) (c)"},
			{130, tick, "", "a (c)"},
		},
		"maintenance is meant": {
			{0, "a b c", "", "a b c"},
			{1, "a? b? c?", "", ""},
			{2, "a? b c?", "", "b"},
		},
		"held ones leave at once when half passes again": {
			{0, "a b c d", "", "a b c d"},
			{1, "e", "", "(a) (b) (c) (d) e"},
			{1.5, "e f", "", "e f"},
		},
		"an agent's restart: all gone, back after 20 s": {
			{0, "a b c", "", "a b c"},
			{1, "", "", "(a) (b) (c)"},
			{21, "a", "", "a (b) (c)"},
			{21.1, "a b", "", "a b"},
			{21.2, "a b c", "", "a b c"},
		},
		"truly scaled to nothing": {
			{0, "a b", "", "a b"},
			{1, "", "", "(a) (b)"},
			{2, "", "a", "(b)"},
			{3, "", "b", ""},
			{4, "a", "", "a"},
		},
		"a refusal of one that is not held changes nothing": {
			{0, "a b", "", "a b"},
			{1, "", "a", "a b"},
			{2, "", "z", "a b"},
		},
		"the size settles only when nobody is held": {
			{0, "a b c d e f g h", "", "a b c d e f g h"},
			{1, "a b c", "", "a b c (d) (e) (f) (g) (h)"},
			{2, "a b", "", "a b (c) (d) (e) (f) (g) (h)"}, // 2 of 8, not of 3
			{31, tick, "", "a b (c)"},
			{32, tick, "", "a b"},
			{33, "a", "", "a"}, // 1 of 2
		},
		"of two entries of one identity the passing one counts": {
			{0, "a! a b a", "", "a b"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var s Set
			for _, st := range script {
				now := start.Add(time.Duration(st.at * float64(time.Second)))
				before := show(&s)
				var changed bool
				switch {
				case st.refused != "":
					changed = s.Refused(now, Key{Addr: st.refused})
				case st.snapshot == tick:
					changed = s.Tick(now)
				default:
					changed = s.Apply(now, snapshot(st.snapshot))
				}
				if got := show(&s); got != st.want {
					t.Fatalf("at %v s: %q, want %q", st.at, got, st.want)
				}
				if changed != (before != st.want) {
					t.Errorf("at %v s: changed is %v, from %q to %q", st.at, changed, before, st.want)
				}
			}
		})
	}
}

func TestApplySeesChangedAttributes(t *testing.T) {
	var s Set
	e := resolver.Endpoint{Addr: "a", ID: "1", Weight: 1, Meta: map[string]string{"k": "v"}}
	s.Apply(start, resolver.Snapshot{Endpoints: []resolver.Endpoint{e}})
	if s.Apply(start, resolver.Snapshot{Endpoints: []resolver.Endpoint{e}}) {
		t.Error("the same snapshot is a change")
	}
	e.Weight = 2
	if !s.Apply(start, resolver.Snapshot{Endpoints: []resolver.Endpoint{e}}) || s.Members()[0].Weight != 2 {
		t.Error("a new weight is no change")
	}
}

func TestNextIsTheEarliest(t *testing.T) {
	var s Set
	if _, ok := s.Next(); ok {
		t.Error("an empty set wants to be asked")
	}
	s.Apply(start, snapshot("a b c d e f"))
	s.Apply(start.Add(1*time.Second), snapshot("a b"))
	s.Apply(start.Add(5*time.Second), snapshot("a"))
	if at, ok := s.Next(); !ok || !at.Equal(start.Add(31*time.Second)) {
		t.Errorf("next at %v, %v; want 31 s", at.Sub(start), ok)
	}
	s.Tick(start.Add(31 * time.Second))
	if at, ok := s.Next(); !ok || !at.Equal(start.Add(35*time.Second)) {
		t.Errorf("next at %v, %v; want 35 s", at.Sub(start), ok)
	}
}

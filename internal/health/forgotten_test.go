package health

import (
	"testing"
	"time"
)

func TestAnEndpointThatWasSlowIsMeasuredAgain(t *testing.T) {
	const now = time.Hour
	old, young := millis(now-tau-time.Second), millis(now-time.Second)
	with := func(word uint64, change func(*Endpoint)) *Endpoint {
		e := newEndpoint(&members(1)[0], 0)
		e.latency.word.Store(word)
		change(e)
		return e
	}
	well := func(*Endpoint) {}
	rows := []struct {
		name string
		e    *Endpoint
		want bool
	}{
		{"slow once, and long ago", with(pack(1, old), well), true},
		{"slow exactly so long ago", with(pack(1, millis(now-10*time.Second)), well), false},
		{"slow a second ago", with(pack(1, young), well), false},
		{"never measured: taken to be like the other, the first draw", with(0, well), false},
		{"a call is under way", with(pack(1, old), func(e *Endpoint) { e.Begin(false) }), false},
		{"it failed", with(pack(1, old), func(e *Endpoint) { e.failures.set(old, 0.2) }), false},
		{"it asked for a pause", with(pack(1, old), func(e *Endpoint) { e.Pause(now + 1) }), false},
		{"its pause is over", with(pack(1, old), func(e *Endpoint) { e.Pause(now - 1) }), true},
	}
	s := NewSet(Env{}, Settings{})
	v := s.View()
	fast := with(pack(0.001, young), well)
	for _, row := range rows {
		got := s.cheaper(now, v, fast, row.e) == row.e
		if got != row.want {
			t.Errorf("%s: preferred %v, want %v", row.name, got, row.want)
		}
	}
	if s.cheaper(now, v, with(pack(1, old), well), with(pack(0.001, old), well)).latency.read(old) == 1 {
		t.Error("of two that nobody measured, the slower one was preferred")
	}
}

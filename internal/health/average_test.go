package health

import (
	"math"
	"testing"
	"time"
)

func near(t *testing.T, what string, got, want float64) {
	t.Helper()
	if d := math.Abs(got - want); math.IsNaN(d) || d > 1e-6*max(1, math.Abs(want)) {
		t.Errorf("%s = %v, want %v", what, got, want)
	}
}

// tenth is e^-1/10: what a second takes from evidence that fades in 10 s.
var tenth = math.Exp(-0.1)

func TestExp(t *testing.T) {
	for ms := int32(-200_000); ms <= 200_000; ms += 37 {
		if got, want := exp(ms), math.Exp(-float64(ms)/1e4); math.Abs(got/want-1) > 4e-7 {
			t.Fatalf("exp(%d ms) = %v, want %v", ms, got, want)
		}
	}
	if exp(0) != 1 {
		t.Errorf("exp(0) = %v", exp(0))
	}
	for _, ms := range []int32{farthest, math.MaxInt32} {
		if down, up := exp(ms), exp(-ms); !(down > 0 && down < 1e-250 && up > 1e250) || math.IsInf(up, 0) {
			t.Errorf("exp of %d ms either way: %v, %v; want what a product with a latency can still hold", ms, down, up)
		}
	}
}

func TestLatency(t *testing.T) {
	type step struct {
		at    time.Duration
		x     float64 // sample; negative: raise to -x
		after float64 // read at the same instant
	}
	rows := []struct {
		name  string
		steps []step
		at    time.Duration
		want  float64
	}{
		{"no sample", nil, time.Second, 0},
		{"first sample as it is", []step{{1, 0.02, 0.02}}, 0, 0.02},
		{"a peak is taken at once", []step{{0, 0.02, 0.02}, {0, 0.5, 0.5}}, 0, 0.5},
		{"at the same instant a lower one says nothing", []step{{0, 0.5, 0.5}, {0, 0.02, 0.5}}, 0, 0.5},
		{"a lower one pulls by age", []step{{0, 0.5, 0.5}, {time.Second, 0.02, 0.5*tenth + 0.02*(1-tenth)}}, time.Second, 0.5*tenth + 0.02*(1-tenth)},
		{"above what is left of an old peak", []step{{0, 0.5, 0.5}, {10 * time.Second, 0.2, 0.2}}, 10 * time.Second, 0.2},
		{"reads decay", []step{{0, 0.5, 0.5}}, 10 * time.Second, 0.5 / math.E},
		{"reads before the stamp do not", []step{{time.Second, 0.5, 0.5}}, 0, 0.5},
		{"raise lifts", []step{{0, 0.02, 0.02}, {0, -0.3, 0.3}}, 0, 0.3},
		{"raise never lowers", []step{{0, 0.5, 0.5}, {time.Second, -0.1, 0.5 * tenth}}, time.Second, 0.5 * tenth},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			var l latency
			for _, s := range row.steps {
				if s.x >= 0 {
					l.sample(millis(s.at), s.x)
				} else {
					l.raise(millis(s.at), -s.x)
				}
				near(t, "right after", l.read(millis(s.at)), s.after)
			}
			near(t, "read", l.read(millis(row.at)), row.want)
		})
	}
}

func TestAFailureHoldsTheLatency(t *testing.T) {
	var l latency
	l.hold(0)
	near(t, "of nothing", l.read(0), 0)
	l.sample(0, 0.5)
	l.hold(millis(20 * time.Second))
	near(t, "20 s later", l.read(millis(20*time.Second)), 0.5)
	near(t, "a second after that", l.read(millis(21*time.Second)), 0.5*tenth)
}

func TestLatencySurvivesTheWrapOfItsStamp(t *testing.T) {
	var l latency
	before := time.Duration(math.MaxUint32-500) * time.Millisecond
	l.sample(millis(before), 0.5)
	near(t, "a second later, past the wrap", l.read(millis(before+time.Second)), 0.5*tenth)
}

func TestFailures(t *testing.T) {
	type step struct {
		at time.Duration
		x  float64
	}
	rows := []struct {
		name  string
		steps []step
		at    time.Duration
		want  float64
	}{
		{"never failed", nil, time.Second, 0},
		{"an ok writes nothing", []step{{time.Second, 0}}, time.Second, 0},
		{"one failure", []step{{0, 1}}, 0, 1.0 / 16},
		{"two failures", []step{{0, 1}, {0, 1}}, 0, 1 - 15.0/16*15/16},
		{"an ok takes a sixteenth", []step{{0, 1}, {0, 0}}, 0, 1.0 / 16 * 15 / 16},
		{"age decays first", []step{{0, 1}, {time.Second, 1}}, time.Second, 1.0/16*tenth + (1-1.0/16*tenth)/16},
		{"reads decay", []step{{0, 1}}, 10 * time.Second, 1.0 / 16 / math.E},
		{"what is left after 20 s tells nothing", []step{{0, 1}}, 20 * time.Second, 0},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			var f failures
			for _, s := range row.steps {
				f.add(millis(s.at), s.x)
			}
			near(t, "failures", f.read(millis(row.at)), row.want)
		})
	}
}

func TestFailuresForgetWhatIsTooLittleToMatter(t *testing.T) {
	var f failures
	f.set(0, 1.0001e-4)
	f.add(0, 0)
	if w := f.word.Load(); w>>32 != 0 {
		t.Fatalf("a share of %v is still kept", f.read(0))
	}
}

func TestFailuresBelowAHundredthAreNone(t *testing.T) {
	for _, row := range []struct{ share, want float64 }{{0.0101, 0.0101}, {0.0099, 0}} {
		var f failures
		f.set(0, row.share)
		if got := f.read(0); math.Abs(got-row.want) > 1e-6 {
			t.Errorf("a share of %v reads %v, want %v", row.share, got, row.want)
		}
	}
}

func TestMean(t *testing.T) {
	var m Mean
	near(t, "without a sample", m.Read(), 0)
	m.Sample(0.64)
	near(t, "after one", m.Read(), 0.64)
	m.Sample(0)
	near(t, "after another", m.Read(), 0.63)
}

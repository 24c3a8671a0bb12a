package weight

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/onehop-go/onehop/bench/report"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestShortForm(t *testing.T) {
	s, err := Weight(t.Context(), report.Options{Short: true, Logf: t.Logf})
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range s.Gates {
		if !(g.Measured.Median > 0) {
			t.Errorf("%s: %v", g.What, g.Measured)
		}
	}
	if len(s.Gates) != 2 {
		t.Errorf("%d gates of the HTTP importer, want its size and its modules", len(s.Gates))
	}
}

// TestEveryProgramIsThere: the long form builds them all, and takes minutes.
func TestEveryProgramIsThere(t *testing.T) {
	for _, im := range append(overHTTP, overGRPC...) {
		if _, err := sources.ReadFile("programs/" + im.name + "/main.go"); err != nil {
			t.Error(err)
		}
	}
}

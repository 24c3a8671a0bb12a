package policy

import (
	"runtime"
	"testing"
)

// The parser's work, counted in allocations and their bytes, doubles with the document: nothing that a document can say
// costs its square. A clock would say the same only on an idle machine.
func TestParseIsLinearInTheDocument(t *testing.T) {
	const small = maxDocument / 4
	large := hostile(2 * small)
	for name, document := range hostile(small) {
		once, twice := workOf(document), workOf(large[name])
		// Twice is linear, four times is the square. What lies between is left to growing slices, which take up to twice
		// what they hold, and to sync.Pool, which forgets a part of what it is given when the race detector is on.
		const constant = 500 // allocations of any document: the decoder itself, messages, the base
		if twice.Mallocs > 3*once.Mallocs+constant {
			t.Errorf("%s: %d allocations at %d bytes, %d at %d", name, once.Mallocs, len(document), twice.Mallocs, len(large[name]))
		}
		if twice.TotalAlloc > 3*once.TotalAlloc+64<<10 {
			t.Errorf("%s: %d bytes allocated for %d, %d for %d", name, once.TotalAlloc, len(document), twice.TotalAlloc, len(large[name]))
		}
	}
}

// workOf is the least of several runs, since other goroutines of the test binary allocate too.
func workOf(document string) (least runtime.MemStats) {
	text, base := []byte(document), Default()
	for i := range 3 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, _, _ = Parse(text, base)
		runtime.ReadMemStats(&after)
		after.Mallocs -= before.Mallocs
		after.TotalAlloc -= before.TotalAlloc
		if i == 0 || after.TotalAlloc < least.TotalAlloc {
			least = after
		}
	}
	return least
}

package health

import "testing"

// TestTheLastResortOfARetry is who is avoided for its failures, where the only one that is available fails in a row.
func TestTheLastResortOfARetry(t *testing.T) {
	here := []Tier{{Members: members(2)}}
	elsewhere := []Tier{{Members: members(1)}, {Members: members(1)}}
	rows := []struct {
		name     string
		tiers    []Tier
		failures int32 // in a row, of the one that is available
		tried    bool
		avoided  bool // it is asked
	}{
		{"not yet tried", here, 2, false, false},
		{"one failure may be chance", here, 1, true, false},
		{"two are a row", here, 2, true, true},
		{"nobody leaves the datacenter for that", elsewhere, 2, true, false},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			inWorld(t, 0, func(w *world) {
				w.Update(Now(), row.tiers...)
				only, avoided := w.e(0), w.e(1)
				w.open(Now(), avoided, nil)
				only.consec.Store(row.failures)
				var want Want
				if row.tried {
					want.Tried = []*Endpoint{only}
				}
				if e, _ := w.Pick(Now(), w.View(), want); (e == avoided) != row.avoided || e != avoided && e != only {
					w.t.Errorf("asked the one that is avoided: %v, want %v", e == avoided, row.avoided)
				}
			})
		})
	}
}

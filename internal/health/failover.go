package health

import "time"

const (
	overprovision = 1.4              // capacity is taken to suffice down to 1/1.4 of it: Envoy's factor
	regain        = 10 * time.Second // a datacenter must have been better for so long
	regainRate    = 0.1              // before it gains this share of its health a second
)

// recovery follows the health of a datacenter: down at once, up only slowly, so that calls do not swing between two.
type recovery struct {
	health float64
	above  time.Duration // since when the measured health has been above; 0: it is not
	last   time.Duration // of the last step
}

// step takes the measured health, 0 to 1, and returns the instant of the next step; never: none is due.
func (r *recovery) step(now time.Duration, measured float64) (next int64) {
	defer func() { r.last = now }()
	if measured <= r.health {
		r.health, r.above = measured, 0
		return never
	}
	if r.above == 0 {
		r.above = now
	}
	if from := max(r.last, r.above+regain); now > from {
		r.health = min(measured, r.health+regainRate*(now-from).Seconds())
	}
	if r.health == measured {
		r.above = 0
		return never
	}
	return int64(max(now, r.above+regain) + time.Second)
}

// sharesOf spreads the calls over datacenters by their health, in their order: each takes what it is good for, the rest
// goes on. When all together are not good for everything, each takes its part of it.
func sharesOf(healths []float64) []float64 {
	shares := make([]float64, len(healths))
	left := 1.0
	for i, h := range healths {
		shares[i] = min(left, overprovision*h)
		left -= shares[i]
	}
	if left >= 1 {
		shares[0] = 1 // nobody is well: at home
		return shares
	}
	for i := range shares {
		shares[i] /= 1 - left
	}
	return shares
}

// measure is how much of a tier's listed weight can be reached; false: nothing is listed. Only what cannot be connected to, is critical or gone
// lowers it: an endpoint that answers badly is no reason to leave the datacenter.
func measure(all []*Endpoint, tier, missing int) (health float64, listed bool) {
	up, total := 0, missing
	for _, e := range all {
		if e.tier != tier {
			continue
		}
		w := e.listed()
		total += w
		if e.redial == nil || e.Available() {
			up += w
		}
	}
	if total == 0 {
		return 0, false
	}
	return float64(up) / float64(total), true
}

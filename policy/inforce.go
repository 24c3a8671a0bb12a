package policy

// pending is a setting that is parsed and validated but not acted on yet.
type pending struct {
	path string
	asks func(p Policy) bool // whether p asks for what is not there
}

// notInForce is what a document is warned of when it asks for it. Delete the line of what has come into force.
var notInForce = []pending{
	{"failover.datacenters", func(p Policy) bool { return len(p.Failover.Datacenters) > 0 }},
	{"load_balancing.prefer_local_zone", func(p Policy) bool { return !p.LoadBalancing.PreferLocalZone }},
	{"load_balancing.algorithm", func(p Policy) bool { return p.LoadBalancing.Algorithm == LeastRequest }},
	{"load_balancing.algorithm", func(p Policy) bool { return p.LoadBalancing.Algorithm == RingHash }},
}

// warnPending warns of each setting of this document that is not in force yet.
func (d *decoder) warnPending(p Policy) {
	for _, s := range notInForce {
		if n := d.set[s.path]; n != nil && s.asks(p) {
			d.warn(n, s.path, "is understood but not in force in this version")
		}
	}
}

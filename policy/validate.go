package policy

import "slices"

// Validate returns a Problems with all that is wrong with p, each with the path of its field in the document, or nil.
func (p Policy) Validate() error {
	var ps Problems
	p.check(func(path, message string) {
		ps = append(ps, Problem{Path: path, Message: message})
	})
	return ps.err()
}

// check reports what is wrong with p.
func (p Policy) check(r report) {
	document.check(&p, "", r)
	upstream := settingsOrders(&p.Settings)
	for _, o := range slices.Concat(breakerOrders(&p.CircuitBreaker), upstream) {
		if message := o.broken(); message != "" {
			r(o.low, message)
		}
	}
	for i := range p.Routes {
		for j, o := range settingsOrders(&p.Routes[i].Settings) {
			message := o.broken()
			if message != "" && message != upstream[j].broken() { // what a route inherits is told once
				r(join(index("routes", i), o.low), message)
			}
		}
	}
}

package policy

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
	checkOrders(p, "", upstreamOrders, r)
	checkOrders(p.Settings, "", settingsOrders, r)
	for i, rt := range p.Routes {
		for _, o := range settingsOrders {
			message := o.broken(rt.Settings)
			if message != "" && message != o.broken(p.Settings) { // what a route inherits is told once
				r(join(index("routes", i), o.low), message)
			}
		}
	}
}

func checkOrders[T any](v T, at string, orders []order[T], r report) {
	for _, o := range orders {
		if message := o.broken(v); message != "" {
			r(join(at, o.low), message)
		}
	}
}

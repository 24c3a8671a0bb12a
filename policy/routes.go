package policy

import (
	"fmt"
	"slices"

	"go.yaml.in/yaml/v3"
)

// maxRoutes is the most routes that a Policy may have: each call looks through them in order.
const maxRoutes = 256

// routes is the shape of the list of routes.
type routes struct{}

// read leaves the list to readRoutes, once the Settings that routes start from are final.
func (routes) read(d *decoder, n *yaml.Node, path string, _ any) {
	if d.wantList(n, path, false, maxRoutes) {
		d.set[path] = n
	}
}

func (routes) check(place any, path string, r report) {
	rs := *as[*[]Route](place)
	if len(rs) > maxRoutes {
		r(path, tooMany(len(rs), maxRoutes))
		return
	}
	first := make(map[string]int, len(rs))
	for i, rt := range rs {
		at := index(path, i)
		route.check(&rs[i], at, r)
		if len(rt.Match.Methods) == 0 && rt.Match.PathPrefix == "" && rt.Match.GRPC == "" {
			r(join(at, "match"), "matches nothing in particular: want methods, path_prefix or grpc")
		}
		if j, twice := first[rt.Name]; twice && rt.Name != "" {
			r(join(at, "name"), fmt.Sprintf("is the name of %s already: names are unique", index(path, j)))
		} else {
			first[rt.Name] = i
		}
	}
}

func (routes) write(place any) any {
	rs := *as[*[]Route](place)
	out := make([]any, len(rs))
	for i := range rs {
		out[i] = route.write(&rs[i])
	}
	return out
}

func (routes) schema() members {
	return members{{"type", "array"}, {"maxItems", maxRoutes}, {"items", route.schema()}}
}

// readRoutes decodes the routes of a document over the final Settings of p.
func (d *decoder) readRoutes(n *yaml.Node, p *Policy) {
	p.Routes = make([]Route, len(n.Content))
	for i, c := range n.Content {
		at := index("routes", i)
		r := Route{Settings: p.Settings, said: c}
		route.read(d, c, at, &r)
		d.settleSettings(at, &r.Settings)
		d.warnMatch(at, r.Match)
		p.Routes[i] = r
	}
}

// warnMatch warns of a match that can never hold.
func (d *decoder) warnMatch(at string, m Match) {
	path := join(at, "match")
	switch {
	case d.partial[path]:
		d.warn(d.place(path), path, "the route is left out: without what is unknown here it would match more than it says")
	case m.GRPC != "" && (m.PathPrefix != "" || len(m.Methods) > 0):
		d.warn(d.place(path), path, "never matches: a call is gRPC, or it has a path and a method")
	case m.PathPrefix != "" && slices.ContainsFunc(m.Methods, isLowerMethod):
		d.warn(d.place(path), path, "never matches a lower-case method: those of HTTP are upper-case (RFC 9110, 9.1)")
	}
}

func isLowerMethod(name string) bool {
	return slices.Contains([]string{"get", "head", "post", "put", "patch", "delete", "options"}, name)
}

// wholeRoutes returns rs without the routes of this document whose match is not known in full.
func (d *decoder) wholeRoutes(rs []Route) []Route {
	out := make([]Route, 0, len(rs))
	for i, r := range rs {
		if !d.partial[join(index("routes", i), "match")] {
			out = append(out, r)
		}
	}
	return out
}

// inherit lets the routes of base that stay follow what the document changed. A route that was changed in code since its
// document was read is taken as made in code.
func (d *decoder) inherit(base Policy, p *Policy) {
	if p.Settings.equal(base.Settings) {
		return
	}
	p.Routes = slices.Clone(p.Routes)
	for i := range p.Routes {
		r := &p.Routes[i]
		if r.said == nil || !kept(r.over(base.Settings)).equal(r.Settings) {
			continue
		}
		r.Settings = r.over(p.Settings)
		for _, o := range settingsOrders(&r.Settings) {
			d.clamp(index("routes", i), o, first(d.set[o.low], d.set[o.high]))
		}
	}
}

// over returns the Settings of r as its document has them over those of a Policy.
func (r Route) over(s Settings) Settings {
	again := Route{Settings: s}
	route.read(newDecoder(), r.said, "", &again)
	return again.Settings
}

// kept returns s with its orders kept.
func kept(s Settings) Settings {
	for _, o := range settingsOrders(&s) {
		o.keep()
	}
	return s
}

package policy

import "slices"

// Equal reports whether p and q say the same. A nil slice equals an empty one, and the order of a list counts.
func (p Policy) Equal(q Policy) bool {
	return p.Mode == q.Mode &&
		p.Settings.equal(q.Settings) &&
		p.ConnectTimeout == q.ConnectTimeout &&
		p.Budget == q.Budget &&
		p.CircuitBreaker == q.CircuitBreaker &&
		p.Overload == q.Overload &&
		p.LoadBalancing == q.LoadBalancing &&
		slices.Equal(p.Failover.Datacenters, q.Failover.Datacenters) &&
		slices.EqualFunc(p.Routes, q.Routes, Route.equal)
}

func (s Settings) equal(t Settings) bool {
	return s.Timeout == t.Timeout &&
		s.AttemptTimeout == t.AttemptTimeout &&
		s.IdleTimeout == t.IdleTimeout &&
		s.Retry.MaxAttempts == t.Retry.MaxAttempts &&
		slices.Equal(s.Retry.When, t.Retry.When) &&
		s.Retry.Backoff == t.Retry.Backoff &&
		s.Hedge == t.Hedge &&
		s.Limits == t.Limits
}

func (r Route) equal(q Route) bool {
	return r.Name == q.Name &&
		slices.Equal(r.Match.Methods, q.Match.Methods) &&
		r.Match.PathPrefix == q.Match.PathPrefix &&
		r.Match.GRPC == q.Match.GRPC &&
		r.Idempotent == q.Idempotent &&
		r.Settings.equal(q.Settings)
}

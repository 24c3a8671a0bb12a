package main

// rule is a safety rule, the text that makes it up, what stands there without it, and the tests of which one must fail.
type rule struct {
	name     string
	file     string
	old, new string
	tests    string // a regular expression for go test -run
}

var rules = []rule{
	{"retries come from a budget", "internal/engine/loop.go",
		"!c.upstream.budget.withdraw(now, b.Ratio, b.Min) {", "!c.upstream.budget.withdraw(now, b.Ratio, b.Min) && false {", "TestRow50"},
	{"attempts have a ceiling", "internal/engine/loop.go",
		"case int(c.attempts) >= c.rule.Retry.MaxAttempts:", "case int(c.attempts) >= 50:", "TestRow22"},
	{"only what may be executed twice is repeated", "internal/engine/loop.go",
		"case !r.Unsent && !(c.Idempotent() && c.Replayable):", "case false:", "TestRow78|TestRow75"},
	{"an endpoint is opened only if its peers do better", "internal/health/breaker.go",
		"return ok && peers >= 0.5+0.5*e.Success(now) && ", "return ok && peers >= 0 && ", "TestRow57"},
	{"with nobody available the whole list is used", "internal/health/groups.go",
		"if len(v.Available) == 0 || !v.settings.Apply {", "if !v.settings.Apply {", "TestRow53|TestRow67"},
	{"a refused connection opens at once", "internal/health/probe.go",
		"if s.feed(e, true, true) {", "if false {", "TestRow56|TestRow67"},
	{"probes thin out", "internal/health/probe.go",
		"e.opens++", "e.opens += 0", "TestRow67"},
	{"failures weigh in the choice", "internal/health/endpoint.go",
		"if f := e.failures.read(millis(now)); f != 0 {", "if f := e.failures.read(millis(now)); false && f != 0 {", "TestRow60"},
	{"our own stall is nobody's failure", "internal/health/report.go",
		"return r.Outcome.bad() && int64(r.Start) < s.stalled.Load()", "return false", "TestOurOwnStall"},
	{"a datacenter fails over", "internal/health/set.go",
		"return sharesOf(healths), due", "return append([]float64{1}, make([]float64, len(s.tiers)-1)...), due", "TestRow54"},
	{"the brake refuses", "internal/overload/brake.go",
		"if limit == 0 || float64(n) <= limit {", "if limit == 0 || float64(n) <= limit || true {", "TestRow66"},
	{"a mass loss is held", "internal/membership/membership.go",
		"if 2*len(passing) >= s.settled {", "if true || 2*len(passing) >= s.settled {", "TestRow9|TestRow59"},
	{"a held endpoint leaves at its time", "internal/membership/membership.go",
		"const GoneFor = 30 * time.Second", "const GoneFor = 30 * time.Hour", "TestRow9Held"},
	{"no request is sent twice by net/http", "httpclient/wire.go",
		"x.cancel(errGuard)", "_ = errGuard", "TestRow74|TestRow78"},
	{"a body is replayed only by GetBody", "httpclient/replay.go",
		"func rewindable(r *http.Request) bool { return !hasBody(r) || r.GetBody != nil }", "func rewindable(*http.Request) bool { return true }", "TestRow43"},
	{"one request a second and watch", "internal/consulapi/pace.go",
		"return p.bucket.ReserveN(now, 1).DelayFrom(now)", "return 0 * p.bucket.ReserveN(now, 1).DelayFrom(now)", "TestRow3|TestRow25"},
	{"failures of Consul are backed off from", "internal/consulapi/pace.go",
		"return Backoff(p.failures, MaxBackoff, random)", "return 0", "TestRow12"},
	{"a shrunken list is confirmed", "internal/consulapi/service.go",
		"if doubtful || w.recheck {", "if false {", "TestRow7Rights"},
	{"answers of Consul have a bound", "internal/consulapi/transport.go",
		"maxBody      = 32 << 20", "maxBody      = 32 << 30", "TestRow17"},
	{"a snapshot with a port out of range is refused", "resolver/instance.go",
		"if port < 1 || port > 65535 {", "if false {", "TestRow10"},
	{"metadata addresses are refused", "resolver/forbidden.go",
		"case !linkLocal && (ip.IsLinkLocalUnicast() || metadata[ip]):", "case false:", "TestMetadata"},
	{"a DNS answer must repeat the question", "resolver/dnsexchange.go",
		"if err != nil || len(questions) != 1 || !sameQuestion(questions[0], question) {", "if err != nil || len(questions) != 1 {", "TestRow14"},
	{"the disk's snapshot serves without Consul", "resolver/cache.go",
		"serveCached := sync.OnceFunc(func() { file.serve(publish) })", "serveCached := sync.OnceFunc(func() {})", "TestRow1Consul"},
	{"max_attempts is at most 5 in a document", "policy/table.go",
		"return &r.MaxAttempts }, integer(1, 5)),", "return &r.MaxAttempts }, integer(1, 1<<40)),", "TestRow22"},
	{"a document is at most 64 KiB", "policy/screen.go",
		"maxDocument = 64 << 10", "maxDocument = 64 << 20", "TestRow26"},
}

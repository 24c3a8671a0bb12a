package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// reference is the document of the defaults, as the manual prints it.
const reference = `
mode: enforce
timeout: 0s
attempt_timeout: 0s
connect_timeout: 1s
idle_timeout: 0s
retry:
  max_attempts: 3
  when: [unavailable, reset, attempt_timeout]
  backoff: {initial: 25ms, max: 1s, multiplier: 2, jitter: 0.5}
  budget: {ratio: 0.1, min: 10}
hedge: 0%
circuit_breaker: {consecutive_failures: 5, failure_ratio: 0.5, min_requests: 20, window: 10s, open_for: 5s, max_open_for: 60s}
overload: true
load_balancing: {algorithm: p2c_ewma, slow_start: 10s, prefer_local_zone: true, subset: 100}
limits: {concurrency: 0, rate: 0}
failover: {datacenters: []}
`

func TestReferenceIsTheDefault(t *testing.T) {
	bare := Policy{}
	p, warnings, err := Parse([]byte(reference), bare)
	if err != nil || len(warnings) > 0 || !p.Equal(Default()) {
		t.Errorf("got %+v, %v, %v", p, warnings, err)
	}
}

func TestParseDecodesOverBase(t *testing.T) {
	rows := []struct {
		document string
		want     func(p *Policy)
	}{
		{"", func(*Policy) {}},
		{"# only a comment\n", func(*Policy) {}},
		{"---\n", func(*Policy) {}},
		{"null", func(*Policy) {}},
		{"{}", func(*Policy) {}},
		{"retry:\n  # max_attempts: 5\n", func(*Policy) {}},
		{"timeout: 2s", func(p *Policy) { p.Timeout = 2 * time.Second }},
		{"connect_timeout: 0", func(p *Policy) { p.ConnectTimeout = 0 }},
		{`{"timeout": "1m30s", "hedge": "2.5%"}`, func(p *Policy) { p.Timeout, p.Hedge = 90*time.Second, 0.025 }},
		{"{\n\t\"timeout\": \"1h\"\n}", func(p *Policy) { p.Timeout = time.Hour }},
		{"timeout: 1500us", func(p *Policy) { p.Timeout = 1500 * time.Microsecond }},
		{"timeout: 2s\r\noverload: false\r\n", func(p *Policy) { p.Timeout, p.Overload = 2*time.Second, false }},
		{"hedge: 0", func(p *Policy) { p.Hedge = 0 }},
		{"retry: {max_attempts: 2.0}", func(p *Policy) { p.Retry.MaxAttempts = 2 }},
		{"retry: {when: []}", func(p *Policy) { p.Retry.When = nil }},
		{`retry: {when: [429, "503", ABORTED, server_error]}`, func(p *Policy) { p.Retry.When = []Condition{"429", "503", "ABORTED", ServerError} }},
		{"retry: {budget: {min: 3}}", func(p *Policy) { p.Budget.Min = 3 }},
		{"mode: observe\nlimits: {rate: 0.5}", func(p *Policy) { p.Mode, p.Limits.Rate = Observe, 0.5 }},
		{"failover:\n  datacenters: [dc2, dc3]", func(p *Policy) { p.Failover.Datacenters = []string{"dc2", "dc3"} }},
	}
	for _, row := range rows {
		want := Default()
		row.want(&want)
		p, _, err := Parse([]byte(row.document), Default())
		if err != nil {
			t.Errorf("%q: %v", row.document, err)
		} else if !p.Equal(want) {
			t.Errorf("%q: got %+v", row.document, p)
		}
	}
}

func TestRouteInheritsTheFinalSettings(t *testing.T) {
	// The routes stand first: the order of a document has no meaning.
	p, warnings, err := Parse([]byte(`
routes:
  - {name: charge, match: {methods: [POST], path_prefix: /v1/charges}, timeout: 5s}
  - {name: reserve, match: {grpc: inventory.v1.Stock/Reserve}, idempotent: true, attempt_timeout: 200ms, retry: {max_attempts: 2}}
timeout: 2s
retry: {max_attempts: 4, when: [reset]}
`), Default())
	if err != nil || len(warnings) > 0 {
		t.Fatal(err, warnings)
	}
	charge, reserve := p.Routes[0], p.Routes[1]
	if charge.Timeout != 5*time.Second || charge.Retry.MaxAttempts != 4 || len(charge.Retry.When) != 1 || charge.Idempotent {
		t.Errorf("charge: %+v", charge)
	}
	if reserve.Timeout != 2*time.Second || reserve.AttemptTimeout != 200*time.Millisecond || reserve.Retry.MaxAttempts != 2 || !reserve.Idempotent {
		t.Errorf("reserve: %+v", reserve)
	}
	if p.Retry.MaxAttempts != 4 || p.AttemptTimeout != 0 {
		t.Errorf("a route changed the policy: %+v", p)
	}
}

// layer parses documents one over the other.
func layered(t *testing.T, base Policy, documents ...string) (Policy, Problems) {
	t.Helper()
	var all Problems
	for _, document := range documents {
		p, warnings, err := Parse([]byte(document), base)
		if err != nil {
			t.Fatalf("%s: %v", document, err)
		}
		base, all = p, append(all, warnings...)
	}
	return base, all
}

func TestRoutesOfALayer(t *testing.T) {
	const under = `
timeout: 1s
routes:
  - {name: poll, match: {path_prefix: /poll}, timeout: 0s}
  - {name: put, match: {methods: [PUT]}, retry: {when: [server_error]}}
`
	t.Run("replace those below", func(t *testing.T) {
		p, _ := layered(t, Default(), under, "routes: [{name: own, match: {methods: [GET]}}]")
		if len(p.Routes) != 1 || p.Routes[0].Name != "own" || p.Routes[0].Timeout != time.Second {
			t.Errorf("%+v", p.Routes)
		}
		if p, _ = layered(t, Default(), under, "routes: []"); len(p.Routes) != 0 {
			t.Errorf("%+v", p.Routes)
		}
	})
	t.Run("stay and follow what is above, but for their own words", func(t *testing.T) {
		p, _ := layered(t, Default(), under, "timeout: 3s\nretry: {max_attempts: 1}")
		poll, put := p.Routes[0], p.Routes[1]
		if poll.Timeout != 0 || poll.Retry.MaxAttempts != 1 {
			t.Errorf("poll: %+v", poll)
		}
		if put.Timeout != 3*time.Second || put.Retry.MaxAttempts != 1 || !slices.Equal(put.Retry.When, []Condition{ServerError}) {
			t.Errorf("put: %+v", put)
		}
	})
	t.Run("made or changed in code stay as they are", func(t *testing.T) {
		base, _ := layered(t, Default(), under)
		base.Routes = slices.Clone(base.Routes)
		base.Routes[0].IdleTimeout = time.Minute
		base.Routes[1] = Route{Name: "code", Match: Match{Methods: []string{"GET"}}, Settings: base.Settings}
		p, _ := layered(t, base, "timeout: 3s")
		if p.Routes[0].IdleTimeout != time.Minute || p.Routes[1].Timeout != time.Second {
			t.Errorf("%+v", p.Routes)
		}
	})
	t.Run("do not write to those of the base", func(t *testing.T) {
		base, _ := layered(t, Default(), under)
		_, _ = layered(t, base, "timeout: 3s")
		if base.Routes[1].Timeout != time.Second {
			t.Error("the base was changed")
		}
	})
}

func TestConflictsOfLayersAreSettled(t *testing.T) {
	rows := []struct {
		name  string
		under string
		above string
		check func(p Policy) bool
		warns []string // "line:column path"
	}{
		{
			"a lower timeout above", "attempt_timeout: 500ms", "timeout: 300ms",
			func(p Policy) bool {
				return p.Timeout == 300*time.Millisecond && p.AttemptTimeout == 299*time.Millisecond
			}, []string{"1:10 attempt_timeout"},
		},
		{
			"a higher attempt_timeout above", "timeout: 300ms", "attempt_timeout: 300ms",
			func(p Policy) bool { return p.AttemptTimeout == 299*time.Millisecond }, []string{"1:18 attempt_timeout"},
		},
		{
			"no room for an attempt_timeout", "attempt_timeout: 500ms", "timeout: 1ms",
			func(p Policy) bool { return p.AttemptTimeout == 0 }, []string{"1:10 attempt_timeout"},
		},
		{
			"backoff", "retry: {backoff: {initial: 500ms}}", "retry:\n  backoff: {max: 100ms}",
			func(p Policy) bool { return p.Retry.Backoff.Initial == 100*time.Millisecond }, []string{"2:18 retry.backoff.initial"},
		},
		{
			"breaker", "circuit_breaker: {max_open_for: 10s}", "circuit_breaker: {open_for: 11s}",
			func(p Policy) bool { return p.CircuitBreaker.OpenFor == 10*time.Second }, []string{"1:29 circuit_breaker.open_for"},
		},
		{
			"a route's own timeout", "attempt_timeout: 500ms", "routes:\n  - {name: a, match: {methods: [GET]}, timeout: 200ms}",
			func(p Policy) bool {
				return p.AttemptTimeout == 500*time.Millisecond && p.Routes[0].AttemptTimeout == 199*time.Millisecond
			}, []string{"2:49 routes[0].attempt_timeout"},
		},
		{
			"a route of the layer below", "routes: [{name: a, match: {methods: [GET]}, attempt_timeout: 500ms}]",
			"timeout: 300ms\nattempt_timeout: 100ms\nretry: {max_attempts: 2}",
			func(p Policy) bool {
				return p.AttemptTimeout == 100*time.Millisecond && p.Routes[0].AttemptTimeout == 299*time.Millisecond
			}, []string{"2:18 routes[0].attempt_timeout"},
		},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			p, warnings := layered(t, Default(), row.under, row.above)
			if !row.check(p) {
				t.Errorf("got %+v", p)
			}
			if got := places(warnings); !slices.Equal(got, row.warns) {
				t.Errorf("warned at %q, want %q:\n%v", got, row.warns, warnings)
			}
			if err := p.Validate(); err != nil {
				t.Error(err)
			}
		})
	}
}

// places are "line:column path" of each.
func places(ps Problems) []string {
	var out []string
	for _, p := range ps {
		out = append(out, fmt.Sprintf("%d:%d %s", p.Line, p.Column, p.Path))
	}
	return out
}

func TestAttemptsThatDoNotFitWarn(t *testing.T) {
	rows := []struct{ document, want string }{
		{"timeout: 1s\nattempt_timeout: 400ms", ""},
		{"timeout: 1s\nattempt_timeout: 490ms", "only 2 of 3"},
		{"timeout: 1s\nattempt_timeout: 990ms", "only 1 of 3"},
		{"timeout: 1s", ""},
		{"attempt_timeout: 1s", ""},
		{"timeout: 1s\nattempt_timeout: 300ms\nretry: {max_attempts: 4}", "only 3 of 4"},
		{"timeout: 1s\nattempt_timeout: 300ms\nroutes: [{name: a, match: {methods: [GET]}, retry: {max_attempts: 5}}]", "only 3 of 5"},
	}
	for _, row := range rows {
		_, warnings := layered(t, Default(), row.document)
		switch {
		case row.want == "" && len(warnings) == 0:
		case row.want != "" && len(warnings) == 1 && strings.Contains(warnings[0].Message, row.want):
		default:
			t.Errorf("%q: %v", row.document, warnings)
		}
	}
	under, _ := layered(t, Default(), "timeout: 1s\nattempt_timeout: 990ms")
	if _, warnings := layered(t, under, "mode: observe"); len(warnings) != 0 {
		t.Errorf("a document that has no say in it is warned: %v", warnings)
	}
}

func TestTheDefaultsWrittenOutWarnOfNothing(t *testing.T) {
	p, warnings, err := Parse([]byte(reference), Default())
	if err != nil || len(warnings) > 0 {
		t.Errorf("the defaults written out: %v %v %v", p, warnings, err)
	}
}

func TestErrorLeavesBase(t *testing.T) {
	base, _ := layered(t, Default(), "timeout: 2s\nroutes: [{name: a, match: {methods: [GET]}}]")
	p, _, err := Parse([]byte("timeout: 1s\nretry: {max_attempts: 9}"), base)
	var problems Problems
	if !errors.As(err, &problems) || len(problems) != 1 || !p.Equal(base) {
		t.Errorf("%v, %+v", err, p)
	}
	var one Problem
	if !errors.As(err, &one) || one.Path != "retry.max_attempts" {
		t.Errorf("no Problem in %v", err)
	}
}

// A base is shared: with its routes' own words it is read by every service's watch at once. For the race detector.
func TestParseOverASharedBase(t *testing.T) {
	base, _ := layered(t, Default(), "routes: [{name: a, match: {methods: [GET]}, timeout: 2s, retry: {when: [429]}, hedge: 1%}]")
	var readers sync.WaitGroup
	for range 8 {
		readers.Go(func() {
			p, _, err := Parse([]byte("idle_timeout: 1s"), base)
			if err != nil || p.Routes[0].IdleTimeout != time.Second || p.Routes[0].Timeout != 2*time.Second {
				t.Errorf("%v %+v", err, p)
			}
		})
	}
	readers.Wait()
}

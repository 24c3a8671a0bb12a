package policy

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// verdict is the error of a document as lines "line:column: path: message", without the excerpts.
func verdict(t *testing.T, document string) string {
	t.Helper()
	_, _, err := Parse([]byte(document), Default())
	return plainly(err)
}

func plainly(err error) string {
	var problems Problems
	if !errors.As(err, &problems) {
		return ""
	}
	var out []string
	for _, p := range problems {
		p.Excerpt = ""
		out = append(out, p.Error())
	}
	return strings.Join(out, "\n")
}

func TestRefused(t *testing.T) {
	rows := []struct{ document, want string }{
		// ceilings, by name
		{"retry: {max_attempts: 1000000000}", "1:23: retry.max_attempts: 1000000000 is out of range: from 1 to 5"},
		{"retry: {max_attempts: 99999999999999999999}", `1:23: retry.max_attempts: want a whole number from 1 to 5, not "99999999999999999999"`},
		{"retry: {max_attempts: 0}", "1:23: retry.max_attempts: 0 is out of range: from 1 to 5"},
		{"retry: {max_attempts: 2.5}", `1:23: retry.max_attempts: want a whole number from 1 to 5, not "2.5"`},
		{
			"retry: {budget: {ratio: .inf, min: -1}}",
			"1:25: retry.budget.ratio: +Inf is out of range: from 0 to 0.2\n1:36: retry.budget.min: -1 is out of range: from 0 to 100",
		},
		{"retry: {budget: {ratio: .nan}}", "1:25: retry.budget.ratio: NaN is out of range: from 0 to 0.2"},
		{"timeout: -1s", "1:10: timeout: -1s is out of range: 0 (none), or 1ms to 1h"},
		{"timeout: 10h", "1:10: timeout: 10h is out of range: 0 (none), or 1ms to 1h"},
		{"timeout: 999us", "1:10: timeout: 999µs is out of range: 0 (none), or 1ms to 1h"},
		{"circuit_breaker: {window: 0s}", "1:27: circuit_breaker.window: 0s is out of range: 1ms to 1h"},
		{"hedge: 6%", "1:8: hedge: 6% is out of range: from 0% to 5%"},
		{"hedge: -1%", "1:8: hedge: -1% is out of range: from 0% to 5%"},
		{"retry: {when: [200]}", "1:16: retry.when[0]: " + wantCondition + `, not "200"`},
		// form
		{"timeout: 5", `1:10: timeout: want a duration such as 250ms, 5s or 1m30s, not "5": it has no unit`},
		{"timeout: soon", `1:10: timeout: want a duration such as 250ms, 5s or 1m30s, not "soon"`},
		{"timeout: true", `1:10: timeout: want a duration such as 250ms, 5s or 1m30s, not "true"`},
		{"timeout:", "1:9: timeout: has no value: want a duration such as 250ms, 5s or 1m30s, or leave the line out to keep what stands under this document"},
		{"timeout: [1s]", "1:10: timeout: want a duration such as 250ms, 5s or 1m30s, not a list"},
		{"hedge: 0.01", `1:8: hedge: want a percentage such as 1%, from 0% to 5%, not "0.01"`},
		{"overload: yes", `1:11: overload: want true or false, not "yes"`},
		{`overload: "true"`, `1:11: overload: want true or false, not "true"`},
		{"mode: enforced", `1:7: mode: want one of enforce, observe, bypass, not "enforced"; did you mean enforce?`},
		{"mode: 5", `1:7: mode: want one of enforce, observe, bypass, not "5"`},
		{"retry: 3", "1:8: retry: want fields here, as in {name: value}, not a single value"},
		{"retry: {when: reset}", "1:15: retry.when: want a list, as in [a, b] (and [] for none), not a single value"},
		{"failover: {datacenters: ['dc 2']}", "1:26: failover.datacenters[0]: want the name of a datacenter: letters, digits, - and _"},
		{"- timeout", "1:1: want fields here, as in {name: value}, not a list"},
		{"timeout", "1:1: want fields here, as in {name: value}, not a single value"},
		// against itself
		{"timeout: 1s\nattempt_timeout: 1s", "2:18: attempt_timeout: 1s is not below timeout, 1s"},
		{"attempt_timeout: 2s\nroutes:\n- {name: a, match: {methods: [GET]}, timeout: 1s}", "3:3: routes[0].attempt_timeout: 2s is not below timeout, 1s"},
		{"retry: {backoff: {initial: 2s, max: 1s}}", "1:28: retry.backoff.initial: 2s is above retry.backoff.max, 1s"},
		// routes
		{"routes: [{match: {methods: [GET]}}]", "1:10: routes[0].name: want a name: a letter or digit, then up to 63 letters, digits, dots, - and _"},
		{"routes: [{name: a}]", "1:10: routes[0].match: matches nothing in particular: want methods, path_prefix or grpc"},
		{"routes: [{name: a, match: }]", "1:27: routes[0].match: want fields here, as in {name: value}, not nothing"},
		{"routes: [{name: a, match: {}}]", "1:27: routes[0].match: matches nothing in particular: want methods, path_prefix or grpc"},
		{"routes: [{name: a, match: {methods: []}}]", "1:37: routes[0].match.methods: is empty: leave it out"},
		{"routes: [{name: a, match: {grpc: /a.B/C}}]", "1:34: routes[0].match.grpc: want pkg.Service/Method or pkg.Service/*, without a / before it"},
		{
			"routes: [{name: a, match: {path_prefix: v1}}]",
			"1:41: routes[0].match.path_prefix: want the beginning of a path: /, then up to 999 characters as they stand in a URL, without ? and #",
		},
		{
			"routes: [{name: a, match: {methods: [GET]}}, {name: a, match: {methods: [PUT]}}]",
			"1:53: routes[1].name: is the name of routes[0] already: names are unique",
		},
		{
			"routes: [{name: a, match: {methods: [GET]}, retry: {budget: {min: 1}}}]",
			"1:53: routes[0].retry.budget: belongs to the upstream, not to a route: move it to the top of the document",
		},
		{
			"routes: [{name: a, match: {methods: [GET]}, overload: false}]",
			"1:45: routes[0].overload: belongs to the upstream, not to a route: move it to the top of the document",
		},
		{
			"routes: [5, null]",
			"1:10: routes[0]: want fields here, as in {name: value}, not a single value\n1:13: routes[1]: want fields here, as in {name: value}, not nothing",
		},
		{"routes: [" + strings.Repeat("{}, ", 256) + "{}]", "1:9: routes: 257 entries are too many: at most 256"},
		{"retry: {when: [" + strings.Repeat("reset, ", 32) + "reset]}", "1:15: retry.when: 33 entries are too many: at most 32"},
		// never part of a policy
		{"timeout: 1s\nretry: {}\ntimeout: 2s", "3:1: timeout: stands twice: first on line 1"},
		{"x: {a: 1, a: 2}", "1:11: x.a: stands twice: first on line 1"},
		{
			"timeout: &t 1s\nattempt_timeout: *t",
			"1:10: timeout: anchors and aliases are not taken: write the value out\n2:18: attempt_timeout: anchors and aliases are not taken: write the value out",
		},
		{"<<: {timeout: 1s}", "1:1: merge keys (<<) are not taken: write the fields out"},
		{"&a timeout: 1s", "1:1: anchors and tags are not taken: write the plain name"},
		{"timeout: !!str 1s", "1:10: timeout: tags are not taken: write the plain value"},
		{"? [a]\n: b", "1:3: want a name before the colon, not a list"},
		{"timeout: 1s\n---\ntimeout: 2s", "2:1: a second document begins here: one policy is one document"},
		{
			strings.Repeat("[", 20) + strings.Repeat("]", 20),
			"1:1: want fields here, as in {name: value}, not a list\n1:18: " + strings.Repeat("[0]", 17) + ": nested too deep: at most 16 levels",
		},
		// no text at all
		{"\xef\xbb\xbftimeout: 1s", "1:1: begins with a byte order mark: save it as UTF-8 without one"},
		{"\xff\xfet\x00", "1:1: is UTF-16: save it as UTF-8"},
		{"\xfe\xff\x00t", "1:1: is UTF-16: save it as UTF-8"},
		{"mode: enforce\nt\x00i\x00", "2:2: a NUL byte: save the document as UTF-8 text (UTF-16 has such bytes)"},
		{"mode: enforce\n# \xe9t\xe9", "2:3: is not UTF-8 here"},
		{strings.Repeat("#\n", maxDocument/2) + "#", "32769:1: the document has 65537 bytes: at most 65536"},
		// no YAML
		{"timeout: [1s\nmode: enforce", "2:13: is no YAML or JSON here: did not find expected ',' or ']'"},
		{"a: 1\n b: 2", "2:5: is no YAML or JSON here: mapping values are not allowed in this context"},
		{`{"timeout": "1s"`, "1:16: is no YAML or JSON here: did not find expected ',' or '}'"},
		{"a: \"\\q\"", "1:7: is no YAML or JSON here: found unknown escape character"},
		{`{"a": "\/v1"}`, "1:11: is no YAML or JSON here: found unknown escape character"},
		{"a: \x07", "1:4: is no YAML or JSON here: control characters are not allowed"},
	}
	for _, row := range rows {
		if got := verdict(t, row.document); got != row.want {
			t.Errorf("%.80q:\n got %s\nwant %s", row.document, got, row.want)
		}
	}
}

func TestWarned(t *testing.T) {
	rows := []struct{ document, want string }{
		{"timeot: 1s", "1:1: timeot: unknown field, not applied; did you mean timeout?"},
		{"attemptTimeout: 1s", "1:1: attemptTimeout: unknown field, not applied; did you mean attempt_timeout?"},
		{"max_attempts: 2", "1:1: max_attempts: unknown field, not applied; did you mean retry.max_attempts?"},
		{"retry: {on: [reset]}", "1:9: retry.on: unknown field, not applied; did you mean when?"},
		{"per_try_timeout: 1s", "1:1: per_try_timeout: unknown field, not applied; did you mean attempt_timeout?"},
		{"zzz: {a: [1, {b: 2}]}", "1:1: zzz: unknown field, not applied"},
		{"retry: {when: [reset, time_out]}", "1:23: retry.when[1]: unknown condition, not applied: " + wantCondition},
		{"retry: {when: [resets]}", "1:16: retry.when[0]: unknown condition, not applied; did you mean reset?"},
		{
			"routes: [{name: a, match: {methods: [GET], header: x}}]",
			"1:27: routes[0].match: the route is left out: without what is unknown here it would match more than it says\n" +
				"1:44: routes[0].match.header: unknown field, not applied",
		},
		{"routes: [{name: a, match: {grpc: a.B/C, methods: [GET]}}]", "1:27: routes[0].match: never matches: a call is gRPC, or it has a path and a method"},
		{
			"routes: [{name: a, match: {path_prefix: /, methods: [get]}}]",
			"1:27: routes[0].match: never matches a lower-case method: those of HTTP are upper-case (RFC 9110, 9.1)",
		},
	}
	for _, row := range rows {
		_, warnings, err := Parse([]byte(row.document), Default())
		if got := plainly(warnings); err != nil || got != row.want {
			t.Errorf("%q: %v\n got %s\nwant %s", row.document, err, got, row.want)
		}
	}
}

func TestWhatIsKnownIsApplied(t *testing.T) {
	p, _, err := Parse([]byte("retry: {max_attempts: 2, new: 1, when: [reset, newer, '429']}\n"+
		"routes: [{name: a, match: {newest: 1}}, {name: b, match: {methods: [GET]}}]"), Default())
	if err != nil || p.Retry.MaxAttempts != 2 || fmt.Sprint(p.Retry.When) != "[reset 429]" || len(p.Routes) != 1 || p.Routes[0].Name != "b" {
		t.Errorf("%v %+v", err, p)
	}
}

func TestAllProblemsAtOnce(t *testing.T) {
	got := verdict(t, "mode: off\ntimeout: 2h\nretry:\n  max_attempts: 7\n  backoff: {jitter: 2}\nroutes:\n- {name: '', match: {path_prefix: x}}\n")
	if n := strings.Count(got, "\n") + 1; n != 6 {
		t.Errorf("%d problems, want 6:\n%s", n, got)
	}
}

func TestProblemsAreBounded(t *testing.T) {
	_, warnings, err := Parse([]byte(manyFields(5000)), Default())
	if err != nil || len(warnings) != maxProblems+1 {
		t.Errorf("%d warnings, %v", len(warnings), err)
	}
	oneLine := "{" + strings.ReplaceAll(manyFields(5000), "\n", ", ") + "a: 1}"
	_, warnings, err = Parse([]byte(oneLine), Default())
	if err != nil || len(warnings) != maxProblems+1 {
		t.Fatalf("%d warnings, %v", len(warnings), err)
	}
	for _, w := range warnings {
		for line := range strings.SplitSeq(w.Excerpt, "\n") {
			if n := len([]rune(line)); n > excerptWidth+1 {
				t.Fatalf("an excerpt of %d columns: %s", n, line)
			}
		}
	}
}

func manyFields(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "x%d: 1\n", i)
	}
	return b.String()
}

// A message shows no more of a document than the line of its excerpt.
func TestMessagesKeepToTheirLine(t *testing.T) {
	const secret = "hunter2"
	for _, document := range []string{
		"timeout: |\n  soon\n  " + secret + "\n",
		"mode: >\n  a\n  " + secret + "\n",
		"timeout: \"a\\\n  " + secret + "\"",
		"? |\n  x\n  " + secret + "\n: 1\n",
		"routes: [{name: \"a\n  " + secret + "\",\n match: {path_prefix: 'x\n  " + secret + "'}}]",
		"retry: {when: ['a\n " + secret + "']}",
		"failover: {datacenters: ['a\n " + secret + "']}",
	} {
		_, warnings, err := Parse([]byte(document), Default())
		if err == nil && len(warnings) == 0 {
			t.Errorf("%q is taken", document)
		}
		var problems Problems
		errors.As(err, &problems)
		for _, p := range append(problems, warnings...) {
			if strings.Contains(p.Error(), secret) {
				t.Errorf("%q: %v", document, p)
			}
		}
	}
}

func TestExcerpt(t *testing.T) {
	rows := []struct {
		document     string
		line, column int
		want         string
	}{
		{"a: 1\n\tb: ü2\r\nc", 2, 6, " b: ü2\n     ^"},
		{"a\u2028b", 2, 1, "b\n^"},
		{"\x1b[31mred", 1, 2, "�[31mred\n ^"},
		{"a", 1, 9, "a\n ^"},
		{"a", 7, 1, ""},
		{strings.Repeat("x", 100) + "y", 1, 101, "…" + strings.Repeat("x", 74) + "y\n" + strings.Repeat(" ", 75) + "^"},
		{"y" + strings.Repeat("x", 100), 1, 1, "y" + strings.Repeat("x", 74) + "…\n^"},
	}
	for _, row := range rows {
		if got := splitLines([]byte(row.document)).excerpt(row.line, row.column); got != row.want {
			t.Errorf("%q %d:%d:\n%s\nwant\n%s", row.document, row.line, row.column, got, row.want)
		}
	}
}

func TestValidateNamesAllProblems(t *testing.T) {
	p := Policy{Routes: []Route{{Match: Match{Methods: []string{"a b"}}}}}
	p.Retry.When = []Condition{"sometimes"}
	p.Failover.Datacenters = make([]string, 17)
	got := plainly(p.Validate())
	for _, path := range []string{
		"mode: ", "retry.max_attempts: ", "retry.when[0]: ", "retry.backoff.max: ", "retry.backoff.multiplier: ",
		"failover.datacenters: ", "circuit_breaker.min_requests: ", "circuit_breaker.window: ", "load_balancing.algorithm: ",
		"routes[0].name: ", "routes[0].match.methods[0]: ", "routes[0].retry.max_attempts: ",
	} {
		if !strings.Contains("\n"+got, "\n"+path) {
			t.Errorf("nothing of %s in\n%s", path, got)
		}
	}
}

func TestValidateBoundsRoutes(t *testing.T) {
	p := Default()
	p.Routes = make([]Route, maxRoutes+1)
	if got := plainly(p.Validate()); got != "routes: 257 entries are too many: at most 256" {
		t.Error(got)
	}
}

package policy

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "write schema.json")

func TestSchemaFile(t *testing.T) {
	if *update {
		if err := os.WriteFile("schema.json", Schema(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	file, err := os.ReadFile("schema.json")
	if err != nil || !bytes.Equal(file, Schema()) {
		t.Errorf("schema.json is not what Schema returns (%v): run go generate", err)
	}
}

func compiled(t *testing.T) *jsonschema.Schema {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("schema.json", document); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// instance is a document as a JSON Schema sees it.
func instance(t *testing.T, document string) any {
	t.Helper()
	var v any
	if err := yaml.Unmarshal([]byte(document), &v); err != nil {
		t.Fatalf("%s: %v", document, err)
	}
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatalf("%s: %v", document, err)
	}
	i, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// The corpus: for each place of the document values inside, at and beyond what may stand there. {} is the place.
func corpus() []string {
	durations := []string{
		"0", "0s", "0ms", "0.0s", "1ms", "999ms", "1000ms", "1.5ms", "3600000ms", "3599999.5ms", "1s", "0.5s", "0.001s",
		"0.05s", "1.25s", "3600s", "1m", "60m", "1m30s",
		"59m59.9s", "1h", "1h0m0s", "0.5h", "0.25m", "1.5m",
		"3600001ms", "3601s", "61m", "1h1s", "2h", "10h", "-1s", "0.5ms", "0.0001s", "1", "5", "-1", "1.5",
		"1d", "soon", "''", "1 s", "null", "[]", "{}", "true",
	}
	numbers := func(more ...string) []string {
		return append([]string{"null", "[]", "{}", "true", "x", "'1'", "-1", "-0.5", "1.5", "1000000001"}, more...)
	}
	places := []struct {
		template string
		values   []string
	}{
		{"{}", []string{"", "null", "{}", "[]", "5", "x", "{unknown: 1}", "{unknown: {a: [b]}}"}},
		{"mode: {}", []string{"enforce", "observe", "bypass", "other", "5", "null", "[]", "''"}},
		{"timeout: {}", durations},
		{"attempt_timeout: {}", durations},
		{"idle_timeout: {}", durations},
		{"connect_timeout: {}", durations},
		{"retry: {}", []string{"null", "{}", "[]", "3", "{unknown: 1}"}},
		{"retry: {max_attempts: {}}", numbers("0", "1", "2.0", "5", "6", "2.5")},
		{"retry: {when: {}}", []string{
			"null", "[]", "x", "{}", "[reset]", "[unavailable, attempt_timeout, server_error]", "[429]", "['429']", "[ABORTED]", "[unknown word]",
			"[200]", "['200']", "[600]", "[true]", "[null]", "[[]]", "[1.5]", "['07']", "['']",
			"[" + strings.Repeat("reset, ", 31) + "reset]", "[" + strings.Repeat("reset, ", 32) + "reset]",
		}},
		{"retry: {backoff: {}}", []string{"null", "{}", "[]", "1s"}},
		{"retry: {backoff: {initial: {}, max: 1h}}", durations},
		{"retry: {backoff: {initial: 0s, max: {}}}", durations},
		{"retry: {backoff: {multiplier: {}}}", numbers("0", "0.99", "1", "10", "10.1")},
		{"retry: {backoff: {jitter: {}}}", numbers("0", "0.5", "1", "1.01")},
		{"retry: {budget: {}}", []string{"null", "{}", "[]", "0.1"}},
		{"retry: {budget: {ratio: {}}}", numbers("0", "0.2", "0.21")},
		{"retry: {budget: {min: {}}}", numbers("0", "100", "101")},
		{"hedge: {}", []string{"0%", "0.0%", "-0%", "1%", "0.5%", "5%", "5.0%", "4.99%", "05%", "5.01%",
			"6%", "10%", "-1%", "1", "0", "0.01", "1 %", "'%'", "x", "null", "[]", "1e0%", "true"}},
		{"circuit_breaker: {}", []string{"null", "{}", "[]", "off"}},
		{"circuit_breaker: {consecutive_failures: {}}", numbers("0", "1000", "1001")},
		{"circuit_breaker: {failure_ratio: {}}", numbers("0", "1", "1.1")},
		{"circuit_breaker: {min_requests: {}}", numbers("0", "1", "10000", "10001")},
		{"circuit_breaker: {window: {}}", durations},
		{"circuit_breaker: {open_for: {}, max_open_for: 1h}", durations},
		{"circuit_breaker: {open_for: 1ms, max_open_for: {}}", durations},
		{"overload: {}", []string{"true", "false", "null", "'true'", "yes", "1", "[]"}},
		{"load_balancing: {algorithm: {}}", []string{"p2c_ewma", "least_request", "round_robin", "ring_hash", "maglev", "null", "1"}},
		{"load_balancing: {slow_start: {}}", durations},
		{"load_balancing: {prefer_local_zone: {}}", []string{"true", "false", "null", "on"}},
		{"load_balancing: {subset: {}}", numbers("0", "10000", "10001")},
		{"limits: {concurrency: {}}", numbers("0", "1000000", "1000001")},
		{"limits: {rate: {}}", numbers("0", "0.5", "1000000", "1000000.5")},
		{"failover: {datacenters: {}}", []string{"null", "[]", "[dc2]", "[dc-2, dc_3]", "['']", "[a b]", "[1]", "dc2", "[null]"}},
		{"routes: {}", []string{"null", "[]", "{}", "[null]", "[5]", "[{}]", "[{name: a}]", "[{match: {methods: [x]}}]"}},
		{"routes: [{name: {}, match: {methods: [x]}}]", []string{"a", "a.b-c_d", "''", "-a", "a b", "5", "null", "true", "[]",
			strings.Repeat("a", 64), strings.Repeat("a", 65)}},
		{"routes: [{name: a, match: {}}]", []string{"null", "{}", "[]", "x", "{unknown: 1}", "{methods: [GET], unknown: 1}"}},
		{"routes: [{name: a, match: {methods: {}}}]", []string{"null", "[]", "[GET]", "[get.user]", "['']", "[a b]", "[5]", "GET"}},
		{"routes: [{name: a, match: {path_prefix: {}}}]", []string{"/", "/v1", "/a%20b", "/a/", "v1", "''", "'/a b'",
			"'/a?b'", "'/a#b'", "/ü", "null", "5",
			"/" + strings.Repeat("a", 999), "/" + strings.Repeat("a", 1000)}},
		{"routes: [{name: a, match: {grpc: {}}}]", []string{"a.B/C", "'a.B/*'", "B/C", "/a.B/C", "a.B", "a.B/", "a.B/C/D", "a.B/C*", "''", "null", "[]"}},
		{"routes: [{name: a, match: {methods: [x]}, idempotent: {}}]", []string{"true", "false", "null", "1"}},
		{"routes: [{name: a, match: {methods: [x]}, timeout: {}}]", durations},
		{"routes: [{name: a, match: {methods: [x]}, {}}]", []string{
			"retry: null", "retry: {budget: {min: 1}}", "retry: {budget: null}", "retry: {max_attempts: 6}",
			"mode: enforce", "overload: true", "circuit_breaker: {}", "connect_timeout: 1s",
			"load_balancing: {}",
			"failover: {}", "routes: []", "unknown: 1", "hedge: 1%", "hedge: 6%", "limits: {rate: 5}",
		}},
	}
	var out []string
	for _, p := range places {
		for _, v := range p.values {
			out = append(out, strings.Replace(p.template, "{}", v, 1))
		}
	}
	return out
}

func TestSchemaVerdictIsThatOfParse(t *testing.T) {
	schema := compiled(t)
	taken := 0
	for _, document := range corpus() {
		_, _, parsed := Parse([]byte(document), Default())
		schemed := schema.Validate(instance(t, document))
		if (parsed == nil) != (schemed == nil) {
			t.Errorf("%s\nParse: %v\nschema: %v", document, parsed, schemed)
		}
		if parsed == nil {
			taken++
		}
	}
	if n := len(corpus()); taken < n/4 || taken > 3*n/4 {
		t.Errorf("%d of %d documents are taken: the corpus is one-sided", taken, n)
	}
}

func TestSchemaTakesEveryMarshalledPolicy(t *testing.T) {
	schema := compiled(t)
	rapid.Check(t, func(r *rapid.T) {
		document, err := valid(r).MarshalJSON()
		if err != nil {
			r.Fatal(err)
		}
		if err := schema.Validate(instance(t, string(document))); err != nil {
			r.Fatalf("%s\n%v", document, err)
		}
	})
}

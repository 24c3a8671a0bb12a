package policy_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/onehop-go/onehop/policy"
)

func ExampleParse() {
	defaults := []byte("timeout: 2s")
	service := []byte(`
retry: {max_attempts: 2}
routes:
  - {name: charge, match: {methods: [POST], path_prefix: /v1/charges}, timeout: 5s}
`)
	p := policy.Default()
	for _, document := range [][]byte{defaults, service} {
		var err error
		if p, _, err = policy.Parse(document, p); err != nil {
			fmt.Println(err)
			return
		}
	}
	fmt.Println(p.Timeout, p.Routes[0].Timeout, p.Routes[0].Retry.MaxAttempts)
	// Output: 2s 5s 2
}

func ExampleProblems() {
	_, _, err := policy.Parse([]byte("retry:\n  max_attempts: 50\nhedge: 20%\n"), policy.Default())
	fmt.Println(err)
	// Output:
	// 2 problems
	// 2:17: retry.max_attempts: 50 is out of range: from 1 to 5
	//       max_attempts: 50
	//                     ^
	// 3:8: hedge: 20% is out of range: from 0% to 5%
	//     hedge: 20%
	//            ^
}

// Policies in code start from Default; a Route from the Settings of its Policy.
func ExampleStatic() {
	p := policy.Default()
	p.Timeout = 2 * time.Second
	reserve := policy.Route{
		Name: "reserve", Match: policy.Match{GRPC: "inventory.v1.Stock/Reserve"}, Idempotent: true, Settings: p.Settings,
	}
	reserve.AttemptTimeout = 200 * time.Millisecond
	p.Routes = []policy.Route{reserve}

	policy.Static{"inventory": p}.Watch(context.Background(), "inventory", func(r policy.Revision, err error) {
		fmt.Println(r.Policy.Timeout, r.Policy.Routes[0].AttemptTimeout, err)
	})
	// Output: 2s 200ms <nil>
}

// An invalid Policy says all that is wrong with it.
func ExamplePolicy_Validate() {
	p := policy.Default()
	p.Timeout, p.AttemptTimeout = time.Second, 2*time.Second
	p.Hedge = 0.2
	fmt.Println(p.Validate())
	// Output:
	// 2 problems
	// hedge: 20% is out of range: from 0% to 5%
	// attempt_timeout: 2s is not below timeout, 1s
}

const manual = "../docs/policy.md"

// Every field of the document has its row in the manual, with the limits and the default it really has.
func TestManualNamesEveryField(t *testing.T) {
	type row struct{ values, normal string }
	rows := map[string]row{} // by path
	for line := range strings.Lines(read(t, manual)) {
		if cells := strings.Split(line, " | "); len(cells) >= 4 && strings.HasPrefix(line, "| `") {
			rows[strings.Trim(cells[0], "| `")] = row{cells[1], cells[2]}
		}
	}
	var schema, defaults map[string]any
	unmarshal(t, policy.Schema(), &schema)
	text, err := policy.Default().MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	unmarshal(t, text, &defaults)

	eachField("", schema, func(path string, schema map[string]any) {
		row, found := rows[path]
		if inRoute, ok := strings.CutPrefix(path, "routes[]."); ok && !found {
			_, found = rows[inRoute] // what a route may override is explained once
		}
		if !found {
			t.Errorf("%s has no row for %s", manual, path)
		}
		want, ok := valueAt(defaults, path)
		if ok && strings.ReplaceAll(row.normal, ",", "") != fmt.Sprint(want) {
			t.Errorf("%s: the default of %s is %v, and the row says %s", manual, path, want, row.normal)
		}
		if limits := limitsOf(schema); ok && limits != "" && row.values != limits {
			t.Errorf("%s: %s may be %s, and the row says %s", manual, path, limits, row.values)
		}
	})
}

// limitsOf are the values that a schema of a number or a duration allows; "": it is another.
func limitsOf(schema map[string]any) string {
	switch schema["$ref"] {
	case "#/$defs/duration":
		return "1ms to 1h"
	case "#/$defs/durationOrNone":
		return "0 or 1ms to 1h"
	}
	least, some := schema["minimum"].(float64)
	most, more := schema["maximum"].(float64)
	if !some || !more {
		return ""
	}
	return strconv.FormatFloat(least, 'f', -1, 64) + " to " + strconv.FormatFloat(most, 'f', -1, 64)
}

// The documents of the manual and of README.md parse without a warning, and the first, the whole one, is the defaults.
func TestManualDocuments(t *testing.T) {
	blocks := strings.Split(read(t, manual)+read(t, "../README.md"), "\n```yaml\n")[1:]
	for i, b := range blocks {
		b, _, _ = strings.Cut(b, "```")
		base := policy.Default()
		if i == 0 {
			base = policy.Policy{}
		}
		p, warnings, err := policy.Parse([]byte(b), base)
		if err != nil || len(warnings) > 0 {
			t.Errorf("%v %v\n%s", err, warnings, b)
		}
		if i == 0 && !p.Equal(policy.Default()) {
			t.Errorf("the whole document of %s is not the default: %+v", manual, p)
		}
	}
	if len(blocks) < 2 {
		t.Errorf("%s has %d documents, want the whole one and examples", manual, len(blocks))
	}
}

// eachField calls f with the path and the schema of each field that holds a value.
func eachField(path string, schema map[string]any, f func(path string, schema map[string]any)) {
	properties, isObject := schema["properties"].(map[string]any)
	for name, s := range properties {
		if sub, ok := s.(map[string]any); ok { // false: not allowed here
			eachField(strings.TrimPrefix(path+"."+name, "."), sub, f)
		}
	}
	if isObject {
		return
	}
	f(path, schema)
	if items, ok := schema["items"].(map[string]any); ok && items["properties"] != nil {
		eachField(path+"[]", items, f)
	}
}

func valueAt(document map[string]any, path string) (any, bool) {
	for {
		name, rest, more := strings.Cut(path, ".")
		v, ok := document[name]
		below, isObject := v.(map[string]any)
		if !ok || !more || !isObject {
			return v, ok && !more
		}
		document, path = below, rest
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func unmarshal(t *testing.T, text []byte, into any) {
	t.Helper()
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatal(err)
	}
}

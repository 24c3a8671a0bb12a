package policy

import (
	"encoding/json"
	"math"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestDefaultIsValid(t *testing.T) {
	if err := Default().Validate(); err != nil {
		t.Fatal(err)
	}
	one, two := Default(), Default()
	one.Retry.When[0] = ServerError
	if two.Retry.When[0] == ServerError {
		t.Error("two defaults share a slice")
	}
}

func TestMarshalReadsBackOverAnyBase(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, base := valid(t), valid(t)
		document, err := p.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		back, _, err := Parse(document, base)
		if err != nil {
			t.Fatalf("%v\n%s", err, document)
		}
		if !back.Equal(p) {
			t.Fatalf("%s\nread back as\n%+v\nwant\n%+v", document, back, p)
		}
	})
}

// The layering relies on it: a layer that is good stays good whatever happens below it.
func TestValidOverEveryBase(t *testing.T) {
	documents := []string{
		"timeout: 1ms",
		"attempt_timeout: 1h",
		"retry: {backoff: {initial: 1h}}",
		"retry: {backoff: {max: 1ms}}",
		"circuit_breaker: {open_for: 1h}",
		"circuit_breaker: {max_open_for: 1ms}",
		"routes: [{name: a, match: {methods: [x]}, timeout: 1ms}, {name: b, match: {methods: [x]}, attempt_timeout: 1h}]",
	}
	rapid.Check(t, func(t *rapid.T) {
		base := valid(t)
		for _, document := range documents {
			p, _, err := Parse([]byte(document), base)
			if err != nil {
				t.Fatalf("%s: %v", document, err)
			}
			if err := p.Validate(); err != nil {
				t.Fatalf("%s: %v", document, err)
			}
		}
	})
}

func TestMarshalRefusesWhatNoDocumentSays(t *testing.T) {
	p := Default()
	p.Hedge = math.NaN()
	if _, err := json.Marshal(p); err == nil {
		t.Error("a Policy with NaN was marshalled")
	}
}

func TestEqual(t *testing.T) {
	policy := func() Policy {
		p := Default()
		p.Failover.Datacenters = []string{"dc2"}
		p.Routes = []Route{{Name: "a", Match: Match{Methods: []string{"GET"}, PathPrefix: "/", GRPC: "a.B/C"}, Settings: Default().Settings}}
		return p
	}
	p, q := policy(), policy()
	if !p.Equal(q) {
		t.Fatal("a Policy does not equal its like")
	}
	leaves := 0
	eachLeaf(reflect.ValueOf(&p).Elem(), "Policy", func(path string, leaf reflect.Value) {
		leaves++
		before := reflect.ValueOf(leaf.Interface())
		change(leaf)
		if p.Equal(q) {
			t.Errorf("%s: a change goes unseen", path)
		}
		leaf.Set(before)
	})
	if leaves < 45 {
		t.Errorf("only %d values were changed", leaves)
	}
	if Default().Equal(p) || !(Policy{}).Equal(Policy{Routes: []Route{}}) {
		t.Error("routes: want other ones unequal, none and empty equal")
	}
}

// eachLeaf calls f for each exported value in v that is neither struct nor slice.
func eachLeaf(v reflect.Value, path string, f func(path string, leaf reflect.Value)) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				eachLeaf(v.Field(i), path+"."+v.Type().Field(i).Name, f)
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			eachLeaf(v.Index(i), path+"[]", f)
		}
	default:
		f(path, v)
	}
}

func change(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(v.String() + "x")
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.Int, reflect.Int64:
		v.SetInt(v.Int() + int64(time.Millisecond))
	case reflect.Float64:
		v.SetFloat(v.Float() + 0.001)
	default:
		panic(v.Kind())
	}
}

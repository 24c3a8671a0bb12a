package main

import (
	"strings"
	"testing"
	"time"
)

// said is what go test -json says of some tests.
const said = `{"Action":"run","Package":"x/faults","Test":"TestRow9"}
{"Action":"attr","Package":"x/faults","Test":"TestRow9","Key":"row","Value":"9"}
{"Action":"attr","Package":"x/faults","Test":"TestRow9","Key":"fault","Value":"a | b"}
{"Action":"attr","Package":"x/faults","Test":"TestRow9/sub","Key":"figure","Value":"0 lost"}
{"Action":"fail","Package":"x/faults","Test":"TestRow9/sub"}
{"Action":"fail","Package":"x/faults","Test":"TestRow9"}
{"Action":"run","Package":"x/faults","Test":"TestSoak"}
{"Action":"attr","Package":"x/faults","Test":"TestSoak","Key":"figure","Value":"10 calls"}
{"Action":"pass","Package":"x/faults","Test":"TestSoak"}
{"Action":"attr","Package":"x/faults","Test":"TestEvery","Key":"missing","Value":"99 a comet"}
{"Action":"pass","Package":"x/faults","Test":"TestEvery"}
`

// again runs two of them once more: one passes now, one is skipped.
const again = `{"Action":"run","Package":"x/faults","Test":"TestRow9"}
{"Action":"attr","Package":"x/faults","Test":"TestRow9","Key":"row","Value":"9"}
{"Action":"attr","Package":"x/faults","Test":"TestRow9","Key":"figure","Value":"none lost"}
{"Action":"pass","Package":"x/faults","Test":"TestRow9"}
{"Action":"run","Package":"x/faults","Test":"TestSoak"}
{"Action":"output","Package":"x/faults","Test":"TestSoak","Output":"    soak_test.go:1: it needs ONEHOP_SOAK\n"}
{"Action":"skip","Package":"x/faults","Test":"TestSoak"}
{"Action":"run","Package":"x/faults/heavy","Test":"TestRow9"}
{"Action":"attr","Package":"x/faults/heavy","Test":"TestRow9","Key":"row","Value":"9"}
{"Action":"skip","Package":"x/faults/heavy","Test":"TestRow9"}
`

func TestSuite(t *testing.T) {
	s := newSuite()
	if err := s.read(strings.NewReader(said)); err != nil {
		t.Fatal(err)
	}
	if err := s.failed(); err == nil || err.Error() != "TestRow9 failed" {
		t.Errorf("failed: %v", err)
	}
	first := string(s.page(time.Unix(0, 0)))
	for _, want := range []string{"on 1970-01-01", `| 9 | a \| b |  | 0 lost | fail |`, "| TestSoak | 10 calls | pass |", "## Missing\n- 99 a comet\n"} {
		if !strings.Contains(first, want) {
			t.Errorf("%q is not in\n%s", want, first)
		}
	}
	if err := s.read(strings.NewReader(again)); err != nil {
		t.Fatal(err)
	}
	if err := s.failed(); err != nil {
		t.Errorf("failed: %v", err)
	}
	second := string(s.page(time.Now()))
	for _, want := range []string{"| 9 |  |  | none lost | pass |", "| 9 |  |  |  | skip |", "| TestSoak | 10 calls | pass |"} {
		if !strings.Contains(second, want) {
			t.Errorf("%q is not in\n%s", want, second)
		}
	}
	if err := s.read(strings.NewReader("no JSON")); err == nil {
		t.Error("what is no JSON passes")
	}
}

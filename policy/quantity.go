package policy

import (
	"fmt"
	"math"
	"regexp"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// A pattern is the form of a string, for Parse and for the schema alike (so: no Go extensions).
type pattern struct{ *regexp.Regexp }

func form(expression string) pattern { return pattern{regexp.MustCompile(expression)} }

func (p pattern) matches(s string) bool { return p.MatchString(s) }

// Times of a document: 0 or 1 ms to 1 h.
const (
	minDuration = time.Millisecond
	maxDuration = time.Hour
)

// plainDuration is how a document should write a duration within the ceilings, with or without the zero. Parse takes
// every spelling of time.ParseDuration ("1500us", "1m500ms"); the schema asks for these, since a schema cannot add.
const (
	plainZero     = `0|0(\.0+)?(ms|s|m|h)`
	plainDuration = `([1-9][0-9]{0,5}|[12][0-9]{6}|3[0-5][0-9]{5})(\.[0-9]+)?ms|3600000(\.0+)?ms` +
		`|([1-9][0-9]{0,2}|[12][0-9]{3}|3[0-5][0-9]{2})(\.[0-9]+)?s|0\.(00[1-9]|0[1-9]|[1-9])[0-9]*s|3600(\.0+)?s` +
		`|([1-9]|[1-5][0-9])(\.[0-9]+)?m|60(\.0+)?m|([1-9]|[1-5][0-9])m([0-9]|[1-5][0-9])(\.[0-9]+)?s` +
		`|0\.[1-9][0-9]*[mh]|1h(0m)?(0s)?`
)

// durationForms are the schema's definitions of the two kinds of durations.
var durationForms = members{
	{"duration", members{{"type", "string"}, {"pattern", "^(" + plainDuration + ")$"}}},
	{"durationOrNone", members{{"anyOf", []members{
		{{"type", "string"}, {"pattern", "^(" + plainZero + "|" + plainDuration + ")$"}},
		{{"const", 0}},
	}}}},
}

// durationKind is a string such as "250ms".
type durationKind struct{ none bool } // it may be 0

func duration(none bool) typed[*time.Duration] { return single(durationKind{none}) }

func (k durationKind) want() string                             { return "want a duration such as 250ms, 5s or 1m30s" }
func (k durationKind) parse(n *yaml.Node) (time.Duration, bool) { return parseDuration(n) }
func (k durationKind) print(v time.Duration) any                { return plain(v) }

func (k durationKind) wrong(v time.Duration) string {
	limits := "1ms to 1h"
	if k.none {
		limits = "0 (none), or 1ms to 1h"
	}
	if (v == 0 && k.none) || (v >= minDuration && v <= maxDuration) {
		return ""
	}
	return fmt.Sprintf("%s is out of range: %s", plain(v), limits)
}

func (k durationKind) hint(n *yaml.Node) string {
	if isNumber(n) {
		return ": it has no unit"
	}
	return ""
}

func (k durationKind) schema() members {
	if k.none {
		return members{{"$ref", "#/$defs/durationOrNone"}}
	}
	return members{{"$ref", "#/$defs/duration"}}
}

// parseDuration takes a string, and the one number that needs no unit.
func parseDuration(n *yaml.Node) (time.Duration, bool) {
	if isNumber(n) {
		v, ok := parseNumber(n)
		return 0, ok && v == 0
	}
	if n.Tag != "!!str" {
		return 0, false
	}
	v, err := time.ParseDuration(n.Value)
	return v, err == nil
}

// plain is a duration without the zeros that time.Duration's String ends in: "5m", not "5m0s".
func plain(v time.Duration) string {
	s := v.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

func isNumber(n *yaml.Node) bool { return n.Tag == "!!int" || n.Tag == "!!float" }

// parseNumber takes an integer or a fraction. What no float64 holds becomes infinite, and so out of any range.
func parseNumber(n *yaml.Node) (float64, bool) {
	var v float64
	ok := isNumber(n) && n.Decode(&v) == nil
	return v, ok
}

// numberKind is a fraction within limits, both included.
type numberKind struct{ least, most float64 }

func number(least, most float64) typed[*float64] { return single(numberKind{least, most}) }

func (k numberKind) limits() string                     { return fmt.Sprintf("from %v to %v", k.least, k.most) }
func (k numberKind) want() string                       { return "want a number " + k.limits() }
func (k numberKind) parse(n *yaml.Node) (float64, bool) { return parseNumber(n) }
func (k numberKind) print(v float64) any                { return v }

func (k numberKind) wrong(v float64) string {
	if v >= k.least && v <= k.most { // false for NaN
		return ""
	}
	return fmt.Sprintf("%v is out of range: %s", v, k.limits())
}

func (k numberKind) schema() members {
	return members{{"type", "number"}, {"minimum", k.least}, {"maximum", k.most}}
}

// integerKind is a whole number within limits, both included.
type integerKind struct{ least, most int }

func integer(least, most int) typed[*int] { return single(integerKind{least, most}) }

func (k integerKind) limits() string  { return fmt.Sprintf("from %d to %d", k.least, k.most) }
func (k integerKind) want() string    { return "want a whole number " + k.limits() }
func (k integerKind) print(v int) any { return v }

func (k integerKind) parse(n *yaml.Node) (int, bool) {
	v, ok := parseNumber(n)
	// Beyond 32 bits it is out of range wherever it stands, and no int on every platform.
	return int(v), ok && v == math.Trunc(v) && math.Abs(v) <= math.MaxInt32
}

func (k integerKind) wrong(v int) string {
	if v >= k.least && v <= k.most {
		return ""
	}
	return fmt.Sprintf("%d is out of range: %s", v, k.limits())
}

func (k integerKind) schema() members {
	return members{{"type", "integer"}, {"minimum", k.least}, {"maximum", k.most}}
}

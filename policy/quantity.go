package policy

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
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

// duration is a string such as "250ms". none lets it be 0.
func duration(none bool) scalar[time.Duration] {
	name, limits := "duration", "1ms to 1h"
	if none {
		name, limits = "durationOrNone", "0 (none), or 1ms to 1h"
	}
	return scalar[time.Duration]{
		want:  "want a duration such as 250ms, 5s or 1m30s",
		parse: parseDuration,
		hint: func(n *yaml.Node) string {
			if n.Tag == "!!int" || n.Tag == "!!float" {
				return ": it has no unit"
			}
			return ""
		},
		wrong: func(v time.Duration) string {
			if (v == 0 && none) || (v >= minDuration && v <= maxDuration) {
				return ""
			}
			return fmt.Sprintf("%s is out of range: %s", plain(v), limits)
		},
		print: func(v time.Duration) any { return plain(v) },
		form:  members{{"$ref", "#/$defs/" + name}},
	}
}

// parseDuration takes a string, and the one number that needs no unit.
func parseDuration(n *yaml.Node) (time.Duration, bool) {
	if n.Tag == "!!int" || n.Tag == "!!float" {
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

// parseNumber takes an integer or a fraction. What no float64 holds becomes infinite, and so out of any range.
func parseNumber(n *yaml.Node) (float64, bool) {
	var v float64
	ok := (n.Tag == "!!int" || n.Tag == "!!float") && n.Decode(&v) == nil
	return v, ok
}

// number is a fraction within limits, both included.
func number(least, most float64) scalar[float64] {
	limits := fmt.Sprintf("from %v to %v", least, most)
	return scalar[float64]{
		want:  "want a number " + limits,
		parse: parseNumber,
		wrong: func(v float64) string {
			if v >= least && v <= most { // false for NaN
				return ""
			}
			return fmt.Sprintf("%v is out of range: %s", v, limits)
		},
		print: func(v float64) any { return v },
		form:  members{{"type", "number"}, {"minimum", least}, {"maximum", most}},
	}
}

// integer is a whole number within limits, both included.
func integer(least, most int) scalar[int] {
	limits := fmt.Sprintf("from %d to %d", least, most)
	return scalar[int]{
		want: "want a whole number " + limits,
		parse: func(n *yaml.Node) (int, bool) {
			v, ok := parseNumber(n)
			// Beyond 32 bits it is out of range wherever it stands, and no int on every platform.
			return int(v), ok && v == math.Trunc(v) && math.Abs(v) <= math.MaxInt32
		},
		wrong: func(v int) string {
			if v >= least && v <= most {
				return ""
			}
			return fmt.Sprintf("%d is out of range: %s", v, limits)
		},
		print: func(v int) any { return v },
		form:  members{{"type", "integer"}, {"minimum", least}, {"maximum", most}},
	}
}

// percentForm is a share as a document writes it.
var percentForm = form(`^-?[0-9]+(\.[0-9]+)?%$`)

// percent is a share that a document writes as "1%": 0.01 alone would leave open what it is a share of.
func percent(most int) scalar[float64] {
	limits := fmt.Sprintf("from 0%% to %d%%", most)
	return scalar[float64]{
		want: "want a percentage such as 1%, " + limits,
		parse: func(n *yaml.Node) (float64, bool) {
			if v, ok := parseNumber(n); ok {
				return 0, v == 0
			}
			if !percentForm.matches(n.Value) {
				return 0, false
			}
			// The shift by two digits is left to the parser of the number, so that no bit is lost to a division.
			v, err := strconv.ParseFloat(strings.TrimSuffix(n.Value, "%")+"e-2", 64)
			return v, err == nil
		},
		wrong: func(v float64) string {
			if v >= 0 && v <= float64(most)/100 { // false for NaN
				return ""
			}
			return fmt.Sprintf("%s is out of range: %s", percentage(v), limits)
		},
		print: func(v float64) any { return percentage(v) },
		form: members{{"anyOf", []members{
			{{"type", "string"}, {"pattern", fmt.Sprintf(`^(-?0+(\.0+)?|0*[0-%d](\.[0-9]+)?|0*%d(\.0+)?)%%$`, most-1, most)}},
			{{"const", 0}},
		}}},
	}
}

// percentage writes a share so that percent reads back the same bits.
func percentage(v float64) string {
	digits := strconv.FormatFloat(v, 'f', -1, 64)
	sign := ""
	if strings.HasPrefix(digits, "-") {
		sign, digits = "-", digits[1:]
	}
	whole, fraction, _ := strings.Cut(digits, ".")
	for len(fraction) < 2 {
		fraction += "0"
	}
	whole = strings.TrimLeft(whole+fraction[:2], "0")
	if whole == "" {
		whole = "0"
	}
	if fraction = fraction[2:]; fraction != "" {
		whole += "." + fraction
	}
	return sign + whole + "%"
}

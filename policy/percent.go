package policy

import (
	"fmt"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// percentForm is a share as a document writes it.
var percentForm = form(`^-?[0-9]+(\.[0-9]+)?%$`)

// percentKind is a share that a document writes as "1%": 0.01 alone would leave open what it is a share of.
type percentKind struct{ most int }

func percent(most int) typed[*float64] { return single(percentKind{most}) }

func (k percentKind) limits() string      { return fmt.Sprintf("from 0%% to %d%%", k.most) }
func (k percentKind) want() string        { return "want a percentage such as 1%, " + k.limits() }
func (k percentKind) print(v float64) any { return percentage(v) }

func (k percentKind) parse(n *yaml.Node) (float64, bool) {
	if v, ok := parseNumber(n); ok {
		return 0, v == 0
	}
	if !percentForm.matches(n.Value) {
		return 0, false
	}
	// The shift by two digits is left to the parser of the number, so that no bit is lost to a division.
	v, err := strconv.ParseFloat(strings.TrimSuffix(n.Value, "%")+"e-2", 64)
	return v, err == nil
}

func (k percentKind) wrong(v float64) string {
	if v >= 0 && v <= float64(k.most)/100 { // false for NaN
		return ""
	}
	return fmt.Sprintf("%s is out of range: %s", percentage(v), k.limits())
}

func (k percentKind) schema() members {
	form := fmt.Sprintf(`^(-?0+(\.0+)?|0*[0-%d](\.[0-9]+)?|0*%d(\.0+)?)%%$`, k.most-1, k.most)
	return members{{"anyOf", []members{
		{{"type", "string"}, {"pattern", form}},
		{{"const", 0}},
	}}}
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

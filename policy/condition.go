package policy

import (
	"fmt"
	"slices"

	"go.yaml.in/yaml/v3"
)

// codes are the gRPC codes that a Condition may name: all but OK.
// https://github.com/grpc/grpc/blob/master/doc/statuscodes.md
var codes = []string{
	"CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED",
	"RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE",
	"DATA_LOSS", "UNAUTHENTICATED",
}

// conditions are what may stand in retry.when besides an HTTP status.
var conditions = append([]string{string(Unavailable), string(Reset), string(AttemptTimeout), string(ServerError)}, codes...)

var (
	statusForm = form(`^[0-9]+$`)
	errorForm  = form(`^[45][0-9][0-9]$`)
)

const wantCondition = "want " + string(Unavailable) + ", " + string(Reset) + ", " + string(AttemptTimeout) + ", " + string(ServerError) +
	", an HTTP status from 400 to 599, or a gRPC code such as ABORTED"

// conditionKind is one entry of retry.when. A number that is no status of a failure is wrong; a word that is not known may
// be one of a later version.
type conditionKind struct{}

func (conditionKind) want() string          { return wantCondition }
func (conditionKind) print(v Condition) any { return string(v) }

func (conditionKind) parse(n *yaml.Node) (Condition, bool) {
	return Condition(n.Value), n.Tag == "!!str" || n.Tag == "!!int"
}

func (conditionKind) wrong(v Condition) string {
	if slices.Contains(conditions, string(v)) || errorForm.matches(string(v)) {
		return ""
	}
	return fmt.Sprintf("%s, not %q", wantCondition, brief(string(v)))
}

func (conditionKind) schema() members {
	return members{{"anyOf", []members{
		{{"type", "string"}, {"not", members{{"pattern", statusForm.String()}}}},
		{{"type", "string"}, {"pattern", errorForm.String()}},
		{{"type", "integer"}, {"minimum", 400}, {"maximum", 599}},
	}}}
}

// unknownCondition says why a word of retry.when is left out.
func unknownCondition(d *decoder, n *yaml.Node) string {
	if n.Tag != "!!str" || slices.Contains(conditions, n.Value) || statusForm.matches(n.Value) {
		return ""
	}
	meant := d.suggest(n.Value, func() []string { return conditions })
	if meant == "" {
		meant = ": " + wantCondition
	}
	return "unknown condition, not applied" + meant
}

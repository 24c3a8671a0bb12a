package policy

import (
	"slices"
	"strings"
)

// otherNames are what other systems call a field of this document.
var otherNames = map[string][]string{
	"when":            {"on", "retry_on", "conditions"},
	"max_attempts":    {"attempts", "num_retries", "retries"},
	"attempt_timeout": {"per_try_timeout"},
	"path_prefix":     {"prefix", "path"},
	"methods":         {"method"},
	"algorithm":       {"policy"},
	"circuit_breaker": {"outlier_detection"},
}

// suggest returns "; did you mean x?" for the known word that a misspelt one is nearest to, or "".
// A candidate may be a path: its last word counts.
func suggest(word string, candidates []string) string {
	const longest = 40 // no known word is nearly so long
	if len(word) > longest {
		return ""
	}
	word = bare(word)
	best, least := "", 1+len(word)/3
	for _, c := range candidates {
		name := c[strings.LastIndexByte(c, '.')+1:]
		for _, known := range append(slices.Clip(otherNames[name]), name) {
			if n := distance(word, bare(known)); n < least {
				best, least = c, n
			}
		}
	}
	if best == "" {
		return ""
	}
	return "; did you mean " + best + "?"
}

// suggest is the function of that name, and "" when there is no room for the warning: a document may be full of such words.
func (d *decoder) suggest(word string, candidates func() []string) string {
	if len(d.warnings) > maxProblems {
		return ""
	}
	return suggest(word, candidates())
}

// bare is a word without case and separators: maxAttempts, max-attempts and max_attempts are one.
func bare(word string) string { return strings.ToLower(separators.Replace(word)) }

var separators = strings.NewReplacer("_", "", "-", "", " ", "")

// distance is that of Levenshtein: how many bytes must be inserted, removed or replaced to make a into b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, diagonal+1, row[j]+1)
		}
	}
	return row[len(b)]
}

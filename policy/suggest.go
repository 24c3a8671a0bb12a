package policy

import "strings"

// elsewhereWords are words that other systems use for fields of this document.
var elsewhereWords = map[string]string{
	"on":               "when",
	"retryon":          "when",
	"conditions":       "when",
	"attempts":         "max_attempts",
	"numretries":       "max_attempts",
	"retries":          "max_attempts",
	"pertrytimeout":    "attempt_timeout",
	"prefix":           "path_prefix",
	"path":             "path_prefix",
	"method":           "methods",
	"policy":           "algorithm",
	"outlierdetection": "circuit_breaker",
}

// suggest returns "; did you mean x?" for the known word that a misspelt one is nearest to, or "".
// A candidate may be a path: its last word counts.
func suggest(word string, candidates []string) string {
	const longest = 40 // no known word is nearly so long
	if len(word) > longest {
		return ""
	}
	word = bare(word)
	if meant, ok := elsewhereWords[word]; ok {
		word = bare(meant)
	}
	best, least := "", 1+len(word)/3
	for _, c := range candidates {
		last := bare(c[strings.LastIndexByte(c, '.')+1:])
		if n := distance(word, last); n < least {
			best, least = c, n
		}
	}
	if best == "" {
		return ""
	}
	return "; did you mean " + best + "?"
}

// suggest is the function of that name, and "" when there is no room for the warning: a document may be full of such words.
func (d *decoder) suggest(word string, candidates []string) string {
	if len(d.warnings) > maxProblems {
		return ""
	}
	return suggest(word, candidates)
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

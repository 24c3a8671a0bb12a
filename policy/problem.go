package policy

import (
	"fmt"
	"strings"
)

// Problem is one thing wrong with a document or a Policy, or a warning.
type Problem struct {
	Line, Column int    // counted from 1, in characters; 0 for a Policy made in code
	Path         string // "routes[1].retry.max_attempts"; "": the document as a whole
	Message      string // what is wrong and what would be right; never more of the document than Excerpt
	Excerpt      string // the line, cut to a readable width, with a caret under the column; "" for a Policy made in code
}

// Error returns "line:column: path: message" and, on lines of their own, the excerpt. What is not known is left out.
func (p Problem) Error() string {
	var b strings.Builder
	if p.Line > 0 {
		fmt.Fprintf(&b, "%d:%d: ", p.Line, p.Column)
	}
	if p.Path != "" {
		b.WriteString(p.Path + ": ")
	}
	b.WriteString(p.Message)
	if p.Excerpt != "" {
		b.WriteString("\n    " + strings.ReplaceAll(p.Excerpt, "\n", "\n    "))
	}
	return b.String()
}

// Problems is every Problem of one document, as an error, in the order of the document. errors.As finds a Problem in it.
type Problems []Problem

// Error returns each Problem on lines of its own, after their number when there are several.
func (ps Problems) Error() string {
	if len(ps) == 1 {
		return ps[0].Error()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d problems", len(ps))
	for _, p := range ps {
		b.WriteString("\n" + p.Error())
	}
	return b.String()
}

// Unwrap lets errors.Is and errors.As see each Problem.
func (ps Problems) Unwrap() []error {
	errs := make([]error, len(ps))
	for i, p := range ps {
		errs[i] = p
	}
	return errs
}

// err returns ps as an error: nil when there is none.
func (ps Problems) err() error {
	if len(ps) == 0 {
		return nil
	}
	return ps
}

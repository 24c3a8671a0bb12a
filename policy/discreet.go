package policy

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// hiddenField stands for a name of a field that looks like none: it may be anything.
const hiddenField = "…"

var (
	quoted    = regexp.MustCompile(`["'].*["']`)
	fieldName = regexp.MustCompile(`^[a-z_]{1,32}(\[[0-9]+\])*$`)
)

// discreet returns ps without what the document says: sources tell them, so they are logged, and what stands under a key or
// in a file may be anything, somebody's password among it. Who has the document sees it by Parse. The known fields, their
// places, what is wrong and what would be right stay.
func (ps Problems) discreet() Problems {
	out := make(Problems, len(ps))
	for i, p := range ps {
		p.Excerpt = ""
		p.Message = quoted.ReplaceAllString(p.Message, "this")
		names := strings.Split(p.Path, ".")
		for j, name := range names {
			if p.Path != "" && !fieldName.MatchString(name) {
				names[j] = hiddenField
			}
		}
		p.Path = strings.Join(names, ".")
		out[i] = p
	}
	return out
}

// refused is the error of a document that is not put in force.
func refused(document string, err error) error {
	if ps, ok := errors.AsType[Problems](err); ok {
		err = ps.discreet()
	}
	return fmt.Errorf("policy: %s: %w", document, err)
}

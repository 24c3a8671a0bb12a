package policy

import (
	"context"
	"fmt"
	"strings"
	"unicode"
)

// Revision is a Policy as a Source had it.
type Revision struct {
	Policy   Policy   // layered and valid
	Origin   string   // "consul: onehop/policy/payments at 4711": for people
	Warnings Problems // unknown fields and words, settled conflicts
}

// DefaultKey is the name of the document under every service's.
const DefaultKey = "_default"

// Source supplies policies. Its methods are safe for concurrent use.
type Source interface {
	// Watch blocks until ctx ends or nothing more will come, and publishes each full Revision of one service from one
	// goroutine, at most one a second: of a burst of changes the last.
	//
	// A non-nil error (unreadable, denied, invalid) changes nothing: the last good document stays, and the Revision
	// beside the error is the one in force. It is published once per change. Where there is no last good document yet,
	// the layer under it is in force and is published as a Revision too, so that a policy that cannot be read is never
	// the reason for having none. A deleted document publishes the layer under it.
	//
	// service is the name of a service, or DefaultKey for the layers under every service's.
	Watch(ctx context.Context, service string, publish func(Revision, error))
}

// checkService refuses names that are no single segment of a key or a file: a name may come from a caller's input, and
// must not lead to another document.
func checkService(name string) error {
	const most = 255
	bad := func(r rune) bool { return r == '/' || r == '\\' || r == ':' || !unicode.IsPrint(r) }
	if name == "" || len(name) > most || strings.HasPrefix(name, ".") || strings.ContainsFunc(name, bad) {
		return fmt.Errorf("policy: %q is no name of a service with a policy: want 1 to %d printable characters without / \\ and :, "+
			"not beginning with a dot", brief(name), most)
	}
	return nil
}

// baseOf is the layer under the documents.
func baseOf(p *Policy) (Policy, error) {
	base := Default()
	if p != nil {
		if err := p.Validate(); err != nil {
			return base, fmt.Errorf("policy: the base in code: %w", err)
		}
		base = *p
	}
	return base, nil
}

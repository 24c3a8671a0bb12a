package policy

import (
	"context"
	"fmt"
)

// Static is policy in code, by service name or DefaultKey. A service without an entry gets that of DefaultKey, and
// without one Default(). Entries are complete and not layers: DefaultKey's is not under the others. New of package
// onehop validates it. Do not change it while it is watched.
type Static map[string]Policy

// Watch publishes the policy of service once and returns. One that does not validate is published as an error, with
// Default() beside it.
func (s Static) Watch(_ context.Context, service string, publish func(Revision, error)) {
	key := service
	p, ok := s[key]
	if !ok {
		key = DefaultKey
		p, ok = s[key]
	}
	if !ok {
		publish(Revision{Policy: Default(), Origin: "code: defaults"}, nil)
		return
	}
	if err := p.Validate(); err != nil {
		publish(Revision{Policy: Default(), Origin: "code: defaults"}, fmt.Errorf("policy: static entry %q: %w", brief(key), err))
		return
	}
	publish(Revision{Policy: p, Origin: "code: " + brief(key)}, nil)
}

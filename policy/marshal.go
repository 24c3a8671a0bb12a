package policy

import (
	"encoding/json"
	"fmt"
)

// MarshalJSON returns p as a document: every field, and each route with all its settings, so that Parse over any base
// reads it back to the same Policy. A Policy that does not validate has no document: the error is that of Validate.
func (p Policy) MarshalJSON() ([]byte, error) {
	if err := p.Validate(); err != nil {
		return nil, fmt.Errorf("policy: no document says this: %w", err)
	}
	return json.Marshal(document.write(&p))
}

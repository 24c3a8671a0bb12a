package consulapi

import (
	"encoding/base64"
	"strings"
	"unicode"
)

// told is an error whose text may be told to anybody: an agent, or what stands before it, may put anything into an answer,
// the request's own headers too. What it wraps is for errors.Is and errors.As alone.
type told struct {
	text  string
	cause error
}

func (t told) Error() string { return t.text }

func (t told) Unwrap() error { return t.cause }

const maxTold = 500 // bytes of an error's text

// tell gives err a text without secrets and control characters, and of a readable length.
func tell(err error, secrets []string) error {
	text := err.Error()
	for _, s := range secrets {
		if len(s) >= minSecret {
			text = strings.ReplaceAll(text, s, "...")
		}
	}
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, text)
	if len(text) > maxTold {
		text = strings.ToValidUTF8(text[:maxTold], "") + "..."
	}
	return told{text, err}
}

// minSecret is the shortest that is hidden: a shorter one is none, and is part of other words.
const minSecret = 4

// secrets are what must not be told, in the forms in which they travel.
func (c *Client) secrets() []string {
	s := c.settings
	token, _ := c.transport.token.get() // while it cannot be read, none was sent
	return []string{token, s.token, s.password, base64.StdEncoding.EncodeToString([]byte(s.user + ":" + s.password))}
}

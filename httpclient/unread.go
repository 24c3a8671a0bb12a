package httpclient

import (
	"errors"
	"strings"
)

// unreadError is of a request that the server sent back unread: it was not processed, whatever its method (RFC 9113 8.7).
type unreadError struct {
	error
	leaving bool // the connection was: no fault of the endpoint's
}

// unrewound is what broke an HTTP/2 stream, by net/http's complaint that its body has no GetBody. net/http exports none of
// these errors: they are told by their texts, which TestUnreadOverHTTP2 holds against a real server.
func unrewound(err error) error {
	text, ok := strings.CutPrefix(err.Error(), "http2: Transport: cannot retry err [")
	if !ok {
		return err
	}
	text, _, _ = strings.Cut(text, "] after Request.Body was written")
	cause := errors.New(strings.TrimPrefix(text, "http2: "))
	switch {
	case strings.Contains(text, "received Server's graceful shutdown GOAWAY"):
		return &unreadError{cause, true}
	case strings.Contains(text, "; REFUSED_STREAM"):
		return &unreadError{cause, false}
	}
	return cause
}

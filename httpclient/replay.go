package httpclient

import "net/http"

// safe says whether a request may be executed twice by HTTP's own rules: a safe method (RFC 9110 9.2.1), or a key by which
// the server tells a repetition (draft-ietf-httpapi-idempotency-key-header). PUT and DELETE are idempotent to RFC 9110
// 9.2.2, but a repeated DELETE answers 404: only a route's `idempotent: true` or onehop.Idempotent says so.
func safe(r *http.Request) bool {
	switch r.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return true
	}
	return hasKey(r)
}

func hasKey(r *http.Request) bool {
	_, key := r.Header["Idempotency-Key"]
	_, xkey := r.Header["X-Idempotency-Key"]
	return key || xkey
}

func hasBody(r *http.Request) bool { return r.Body != nil && r.Body != http.NoBody }

// rewindable says whether the request can be sent again: without a body, or with GetBody. What was sent is never kept for
// a repetition: the transport may still be reading the first body after RoundTrip has returned.
func rewindable(r *http.Request) bool { return !hasBody(r) || r.GetBody != nil }

// replayable is net/http's own isReplayable: what it would send again after a connection broke.
func replayable(r *http.Request) bool { return rewindable(r) && safe(r) }

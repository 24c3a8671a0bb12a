package consulapi

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// Full re-reads repair whatever a watch may have missed; jittered, so that a fleet started together drifts apart.
const (
	minReread = 5 * time.Minute
	maxReread = 10 * time.Minute
)

// cursor is how far a watch believes its index, by Consul's own advice
// (https://developer.hashicorp.com/consul/api-docs/features/blocking): go back to 0 when it goes backwards, never below 1
// after an answer, and none at all after a failed read, since an index above the server's blocks through real changes.
// Pure. The zero value asks plainly.
type cursor struct {
	index  uint64
	fullAt time.Time // when the next full read is due
}

// next is the index to ask with; 0 asks plainly.
func (c *cursor) next(now time.Time) uint64 {
	if !now.Before(c.fullAt) {
		return 0
	}
	return c.index
}

// took moves on after a good answer to a request with index asked.
func (c *cursor) took(now time.Time, asked, got uint64, random float64) {
	if asked == 0 {
		c.fullAt = now.Add(minReread + time.Duration(random*float64(maxReread-minReread)))
	}
	if got < asked {
		got = 0
	} else {
		got = max(got, 1)
	}
	c.index = got
}

// failed forgets the index.
func (c *cursor) failed() { c.index = 0 }

// Meta is what the headers of a good answer say. consul/api drops the errors of most of them.
type Meta struct {
	Index       uint64 // 0: none, or not a number
	Plain       bool   // no index and no cache: leader, staleness and rights can be judged
	Filtered    bool   // the token lacks rights: parts were left out
	DefaultDeny bool   // ACL default policy; true when not known

	// Age is how old the answer was: since the answering server last heard of its leader, or in the agent's cache.
	Age time.Duration
}

var errIndex = errors.New("X-Consul-Index")

// readMeta returns errIndex, beside a usable Meta, for a missing, zero or unreadable index.
func readMeta(h http.Header) (Meta, error) {
	m := Meta{
		Filtered:    h.Get("X-Consul-Results-Filtered-By-Acls") == "true",
		DefaultDeny: h.Get("X-Consul-Default-Acl-Policy") != "allow",
	}
	m.Age = max(units(h, "X-Consul-Lastcontact", time.Millisecond), units(h, "Age", time.Second))
	text := h.Get("X-Consul-Index")
	index, err := strconv.ParseUint(text, 10, 64)
	if err != nil || index == 0 {
		return m, MalformedError(fmt.Errorf("%w is %.40q; want a number above 0", errIndex, text))
	}
	m.Index = index
	return m, nil
}

// units reads a header that counts units of time; absent or senseless is 0.
func units(h http.Header, name string, unit time.Duration) time.Duration {
	n, err := strconv.ParseUint(h.Get(name), 10, 32)
	if err != nil {
		return 0
	}
	return time.Duration(n) * unit
}

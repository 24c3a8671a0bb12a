package faults

import (
	"bytes"
	"fmt"
	"net/http"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/onehop-go/onehop"
	"github.com/onehop-go/onehop/consul"
	"github.com/onehop-go/onehop/internal/consultest"
	"github.com/onehop-go/onehop/policy"
	"github.com/onehop-go/onehop/resolver"
)

// configured is a service of servers in this process whose policy stands in a real Consul's KV, under a prefix of the
// test's own.
type configured struct {
	a    *consultest.Agent
	key  string
	eye  *eye
	logs *logs
	hop  *onehop.Client
	web  *http.Client
}

func newConfigured(t *testing.T, servers []*server) *configured {
	t.Helper()
	a := agent(t)
	return configuredBy(t, a, a.Agent(), servers)
}

func configuredBy(t *testing.T, a *consultest.Agent, as consul.Agent, servers []*server) *configured {
	t.Helper()
	prefix := consultest.Name(t, "faults")
	c := &configured{a: a, key: prefix + "/pay", eye: &eye{}, logs: &logs{}}
	c.hop = newHop(t, onehop.WithResolver(resolver.Static{"pay": addrs(servers)}), onehop.WithLogger(c.logs.logger()),
		onehop.WithPolicies(policy.KV{Agent: as, Prefix: prefix}), c.eye.option())
	c.web = webOf(t, c.hop)
	return c
}

// put writes the document and waits until the source has said something new of it.
func (c *configured) put(t *testing.T, document string) {
	t.Helper()
	said := c.words()
	c.a.KVPut(t, c.key, document)
	await(t, "a word on the document", func() bool { return c.words() > said })
}

func (c *configured) words() (n int) {
	c.eye.look(func() { n = len(c.eye.revisions) })
	return n
}

// begin makes a first call and waits for the first policy.
func (c *configured) begin(t *testing.T) {
	t.Helper()
	if o := get(t, c.web, "http://pay/"); !o.ok() {
		t.Fatal(o.err)
	}
	await(t, "the first policy", func() bool { _, ok := c.eye.inForce(); return ok })
}

func (c *configured) wantAttempts(t *testing.T, n int) {
	t.Helper()
	r, _ := c.eye.inForce()
	if got := r.Policy.Retry.MaxAttempts; got != n {
		t.Errorf("max_attempts %d is in force; want %d", got, n)
	}
}

func TestRow20InvalidDocument(t *testing.T) {
	t.Parallel()
	row(t, 20)
	servers := newServers(t, 2)
	c := newConfigured(t, servers)
	c.begin(t)
	c.put(t, "retry: {max_attempts: 4}")
	c.wantAttempts(t, 4)
	tr := drive(t, c.web, "http://pay/", 50)
	for i, document := range []string{"retry: {max_attempts: [", "retry: 7", "timeout: soon", "\x00\x01", "- a\n- list"} {
		before := len(c.eye.refusals())
		c.put(t, document)
		all := c.eye.refusals()
		if len(all) != before+1 {
			t.Errorf("document %d: %d words of refusal; want one", i, len(all)-before)
		}
		if err := all[len(all)-1]; !strings.Contains(err.Error(), "pay") {
			t.Errorf("document %d: %v does not name its key", i, err)
		}
		c.wantAttempts(t, 4)
	}
	tr.more(50)
	tr.stop().wantNoneFailed(t)
	if n := strings.Count(c.logs.String(), "policy not applied"); n < 5 {
		t.Errorf("%d lines are logged; want one per change", n)
	}
	c.put(t, "retry: {max_attempts: 2}")
	c.wantAttempts(t, 2)
}

func TestRow21UnknownField(t *testing.T) {
	t.Parallel()
	row(t, 21)
	c := newConfigured(t, newServers(t, 1))
	c.begin(t)
	c.put(t, "retry: {max_attempts: 4, patience: much}\nshiny: true")
	r, _ := c.eye.inForce()
	c.wantAttempts(t, 4)
	var said string
	for _, w := range r.Warnings {
		said += w.Error() + "\n"
	}
	for _, path := range []string{"retry.patience", "shiny"} {
		if !strings.Contains(said, path) {
			t.Errorf("the warnings do not name %s: %s", path, said)
		}
	}
	figuref(t, "applied, %d warnings", len(r.Warnings))
}

func TestRow22AbsurdValues(t *testing.T) {
	t.Parallel()
	row(t, 22)
	servers := newServers(t, 3)
	c := newConfigured(t, servers)
	c.begin(t)
	c.put(t, "retry: {max_attempts: 5, budget: {ratio: 0.2, min: 100}, backoff: {initial: 1ms, max: 1ms}}")
	c.wantAttempts(t, 5)
	for _, document := range []string{
		"retry: {max_attempts: 1000000000}", "timeout: -1s", "timeout: 10h", "retry: {max_attempts: -3}", "hedge: 100%",
		"retry: {budget: {ratio: 99}}", "retry: {max_attempts: 1e99}", "attempt_timeout: 2s\ntimeout: 1s",
	} {
		before := len(c.eye.refusals())
		c.put(t, document)
		if all := c.eye.refusals(); len(all) == before {
			t.Errorf("%q was not refused", document)
		}
		c.wantAttempts(t, 5)
	}
	for _, s := range servers {
		s.answer(http.StatusServiceUnavailable)
	}
	most := 0
	for range 10 {
		before := wire(servers)
		get(t, c.web, "http://pay/")
		most = max(most, wire(servers)-before)
	}
	figuref(t, "at most %d attempts on the wire", most)
	if most > 5 || most < 2 {
		t.Errorf("%d attempts on the wire; want 2 to 5", most)
	}
	// Layers that conflict are clamped, not refused: an edit of _default cannot invalidate a service.
	c.put(t, "attempt_timeout: 2s")
	prefix := strings.TrimSuffix(c.key, "/pay")
	said := c.words()
	c.a.KVPut(t, prefix+"/_default", "timeout: 1s")
	await(t, "a word on the layers", func() bool { return c.words() > said })
	r, _ := c.eye.inForce()
	if p := r.Policy; p.Timeout != time.Second || p.AttemptTimeout >= p.Timeout || len(r.Warnings) == 0 {
		t.Errorf("timeout %s, attempt_timeout %s, warnings %v; want a clamp and a warning", p.Timeout, p.AttemptTimeout, r.Warnings)
	}
}

func TestRow24KeyDeletedTokenLost(t *testing.T) {
	t.Parallel()
	row(t, 24)
	a := consultest.Start(t, consultest.WithACL())
	accessor, secret, _ := newToken(t, a, "policies", `key_prefix "" { policy = "read" }`)
	c := configuredBy(t, a, consul.Agent{Address: a.Addr, Token: secret, Wait: 2 * time.Second}, newServers(t, 1))
	c.begin(t)
	c.put(t, "retry: {max_attempts: 4}")
	c.wantAttempts(t, 4)
	said := c.words()
	a.KVDelete(t, c.key)
	await(t, "the defaults", func() bool { return c.words() > said })
	c.wantAttempts(t, policy.Default().Retry.MaxAttempts)
	c.put(t, "retry: {max_attempts: 2}")
	c.wantAttempts(t, 2)
	swaps, refused := c.eye.settings(), len(c.eye.refusals())
	a.Do(t, http.MethodDelete, "/v1/acl/token/"+accessor, nil)
	await(t, "an alarm", func() bool { return len(c.eye.refusals()) > refused })
	await(t, "some more reads", func() bool { return len(c.eye.refusals()) > refused || strings.Contains(c.logs.String(), "denied") })
	c.wantAttempts(t, 2)
	figuref(t, "%d policies put in force after the token was lost", c.eye.settings()-swaps)
	if n := c.eye.settings() - swaps; n != 0 {
		t.Errorf("the policy flapped %d times", n)
	}
	if strings.Contains(c.logs.String(), secret) {
		t.Error("the log shows the token")
	}
}

func TestRow25PolicyChangesTenTimesASecond(t *testing.T) {
	t.Parallel()
	row(t, 25)
	servers := newServers(t, 4)
	servers[0].kill()
	c := newConfigured(t, servers)
	c.begin(t)
	c.put(t, "circuit_breaker: {open_for: 60s}")
	await(t, "the dead endpoint is opened", func() bool { get(t, c.web, "http://pay/"); return c.eye.decided("open") > 0 })
	before, start := c.eye.settings(), time.Now()
	var last int
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for i := range 40 {
		<-ticker.C
		last = 2 + i%4
		c.a.KVPut(t, c.key, fmt.Sprintf("circuit_breaker: {open_for: %ds}\nretry: {max_attempts: %d}", 60-i%2, last))
	}
	await(t, "the last value", func() bool {
		r, _ := c.eye.inForce()
		return r.Policy.Retry.MaxAttempts == last && r.Policy.CircuitBreaker.OpenFor == 59*time.Second
	})
	swaps, took := c.eye.settings()-before, time.Since(start)
	figuref(t, "%d swaps in %s for 40 changes", swaps, took.Round(time.Millisecond))
	if float64(swaps) > took.Seconds()+2 {
		t.Errorf("%d swaps in %s; want at most one a second", swaps, took)
	}
	attempts := 0
	c.eye.look(func() { attempts = len(c.eye.attempts) })
	for range 50 {
		get(t, c.web, "http://pay/")
	}
	c.eye.look(func() {
		for _, a := range c.eye.attempts[attempts:] {
			if a.Endpoint.Addr == servers[0].addr {
				t.Errorf("attempt at the endpoint whose breaker was open before the changes: %+v", a.Outcome)
			}
		}
	})
	if n := c.eye.decided("open"); n != 1 {
		t.Errorf("opened %d times; want once", n)
	}
}

// Not parallel: it looks at the heap of the whole process.
func TestRow26OversizeDocument(t *testing.T) {
	row(t, 26)
	c := newConfigured(t, newServers(t, 1))
	c.begin(t)
	c.put(t, "retry: {max_attempts: 4}")
	before := heap()
	for i := range 5 {
		refused := len(c.eye.refusals())
		c.put(t, "retry: {max_attempts: 2}\n#"+strings.Repeat(string(rune('a'+i)), 400<<10))
		all := c.eye.refusals()
		if len(all) == refused {
			t.Fatal("400 KiB were not refused")
		}
		if err := all[len(all)-1]; len(err.Error()) > 4<<10 || !strings.Contains(err.Error(), "at most 65536") {
			t.Errorf("the refusal has %d bytes and does not name the bound: %.200s", len(err.Error()), err)
		}
	}
	c.wantAttempts(t, 4)
	grown := float64(heap()-before) / (1 << 20)
	figuref(t, "heap %+.1f MiB after 5 documents of 400 KiB", grown)
	if grown > 4 {
		t.Errorf("the heap grew by %.1f MiB", grown)
	}
}

// heap is what is in use after a collection.
func heap() int64 {
	runtime.GC()
	return inUse()
}

// inUse is the heap as it stands.
func inUse() int64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// odd documents: none may crash, each must be refused with its place.
var odd = map[string][]byte{
	"UTF-16":         {0xff, 0xfe, 't', 0, 'i', 0, 'm', 0, 'e', 0},
	"UTF-8 BOM":      []byte("\xef\xbb\xbftimeout: 3s"),
	"UTF-16 BE":      {0xfe, 0xff, 0, 't', 0, 'i'},
	"Latin-1":        []byte("routes: [{name: caf\xe9, match: {path_prefix: /}}]"),
	"duplicate keys": []byte("timeout: 1s\ntimeout: 2s"),
	"duplicate deep": []byte("retry:\n  max_attempts: 2\n  max_attempts: 3"),
	"duplicate JSON": []byte(`{"timeout": "1s", "timeout": "2s"}`),
	"two documents":  []byte("timeout: 1s\n---\ntimeout: 2s"),
	"an alias":       []byte("retry: &r {max_attempts: 2}\nroutes: [{name: a, match: {path_prefix: /}, retry: *r}]"),
	"a bomb":         []byte("a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\nd: [*c,*c]"),
	"deep":           []byte(strings.Repeat("[", 10_000)),
	"deep maps":      []byte(strings.Repeat("{a: ", 10_000)),
	"deep indent":    deepIndent(300),
	"control":        []byte("timeout: \x1b[31m1s"),
}

// place is line and column.
var place = regexp.MustCompile(`(?m)^\d+:\d+: `)

func deepIndent(n int) []byte {
	var b bytes.Buffer
	for i := range n {
		b.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	return b.Bytes()
}

func TestRow27OddDocuments(t *testing.T) {
	t.Parallel()
	row(t, 27)
	refused := 0
	for name, document := range odd {
		_, _, err := policy.Parse(document, policy.Default())
		if err == nil {
			t.Errorf("%s: not refused", name)
			continue
		}
		refused++
		if text := err.Error(); !place.MatchString(text) {
			t.Errorf("%s: %q tells no place", name, text)
		}
	}
	figuref(t, "%d of %d refused with their place", refused, len(odd))
	c := newConfigured(t, newServers(t, 1))
	c.begin(t)
	c.put(t, "retry: {max_attempts: 4}")
	c.put(t, string(odd["UTF-16"]))
	c.put(t, string(odd["deep"]))
	c.wantAttempts(t, 4)
}

// FuzzRow27Document: no document makes the parser panic or give a policy that does not validate.
func FuzzRow27Document(f *testing.F) {
	for _, d := range odd {
		f.Add(d)
	}
	f.Fuzz(func(t *testing.T, document []byte) {
		p, _, err := policy.Parse(document, policy.Default())
		if err == nil && p.Validate() != nil {
			t.Errorf("%q gives a policy that does not validate: %v", document, p.Validate())
		}
	})
}

package policy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/onehop-go/onehop/consul"
	"github.com/onehop-go/onehop/internal/consulapi"
	"github.com/onehop-go/onehop/internal/consultest"
)

// patience is how long a real Consul may take for anything.
const patience = 30 * time.Second

type published struct {
	revision Revision
	err      error
	at       time.Time
}

// watched is a KV source of one service on a real agent.
type watched struct {
	t      *testing.T
	agent  *consultest.Agent
	prefix string
	events chan published
}

// watchKV watches "svc" under a prefix of its own until the test ends.
func watchKV(t *testing.T, agent *consultest.Agent, settings consul.Agent, prefix string) *watched {
	t.Helper()
	w := &watched{t: t, agent: agent, prefix: prefix, events: make(chan published, 1000)}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		KV{Agent: settings, Prefix: prefix}.Watch(ctx, "svc", func(r Revision, err error) {
			w.events <- published{r, err, time.Now()}
		})
	}()
	t.Cleanup(func() { cancel(); <-done })
	return w
}

func (w *watched) put(name, document string) {
	w.t.Helper()
	w.agent.KVPut(w.t, w.prefix+"/"+name, document)
}
func (w *watched) remove(name string) { w.t.Helper(); w.agent.KVDelete(w.t, w.prefix+"/"+name) }

func (w *watched) next() published {
	w.t.Helper()
	select {
	case e := <-w.events:
		return e
	case <-time.After(patience):
		w.t.Fatal("nothing was published")
		panic("unreachable")
	}
}

// revision is the next publication, which is no error.
func (w *watched) revision(timeout time.Duration) Revision {
	w.t.Helper()
	e := w.next()
	if e.err != nil || e.revision.Policy.Timeout != timeout {
		w.t.Fatalf("got timeout %s by %s, %v; want %s", e.revision.Policy.Timeout, e.revision.Origin, e.err, timeout)
	}
	return e.revision
}

// failure is problem for who needs no more.
func (w *watched) failure(timeout time.Duration, want string) {
	w.t.Helper()
	_ = w.problem(timeout, want)
}

// problem is the next publication, which is an error that says want, beside a policy that did not change.
func (w *watched) problem(timeout time.Duration, want string) error {
	w.t.Helper()
	e := w.next()
	if e.err == nil || !strings.Contains(e.err.Error(), want) || e.revision.Policy.Timeout != timeout {
		w.t.Fatalf("got timeout %s by %s, %v; want %q beside %s", e.revision.Policy.Timeout, e.revision.Origin, e.err, want, timeout)
	}
	return e.err
}

func TestKV(t *testing.T) {
	t.Parallel()
	agent := consultest.Start(t)
	watch := func(t *testing.T) *watched {
		t.Helper()
		return watchKV(t, agent, agent.Agent(), "onehop/policy/"+consultest.Name(t, "test"))
	}

	// In parallel, since swaps that wait for a second are what each mostly does.
	t.Run("put, change, delete", func(t *testing.T) {
		t.Parallel()
		w := watch(t)
		if r := w.revision(0); r.Origin != "consul: no document, as in code" || !r.Policy.Equal(Default()) {
			t.Errorf("at first: %s %+v", r.Origin, r.Policy)
		}
		w.put("svc", "timeout: 2s")
		if r := w.revision(2 * time.Second); !strings.HasPrefix(r.Origin, "consul: "+w.prefix+"/svc at ") {
			t.Errorf("by %s", r.Origin)
		}
		w.put("_default", "timeout: 1s\nconnect_timeout: 2s")
		if r := w.revision(2 * time.Second); r.Policy.ConnectTimeout != 2*time.Second {
			t.Errorf("%+v", r.Policy)
		}
		w.remove("svc")
		w.revision(time.Second)
		w.remove("_default")
		if r := w.revision(0); !r.Policy.Equal(Default()) {
			t.Errorf("after all is deleted: %+v", r.Policy)
		}
	})

	t.Run("another service does not wake it", func(t *testing.T) {
		t.Parallel()
		w := watch(t)
		w.revision(0)
		w.put("other", "timeout: 9s")
		w.put("svc", "timeout: 1s")
		w.revision(time.Second)
	})

	// A document that is wrong leaves the last good one, and is told once a change: invalid, absurd, too large, not text.
	t.Run("invalid", func(t *testing.T) {
		t.Parallel()
		w := watch(t)
		w.revision(0)
		w.put("svc", "timeout: 2s")
		w.revision(2 * time.Second)
		for _, row := range []struct{ document, want string }{
			{"retry:\n  max_attempts: 1000000000", "2:17: retry.max_attempts: 1000000000 is out of range: from 1 to 5"},
			{"timeout: -1s", "1:10: timeout: -1s is out of range: 0 (none), or 1ms to 1h"},
			{"timeout: 10h", "1:10: timeout: 10h is out of range: 0 (none), or 1ms to 1h"},
			{strings.Repeat("# nothing\n", 40_000), "the document has 400000 bytes: at most 65536"},
			{"\xef\xbb\xbftimeout: 1s", "1:1: begins with a byte order mark"},
			{"timeout: 1s\ntimeout: 3s", "2:1: timeout: stands twice: first on line 1"},
		} {
			w.put("svc", row.document)
			var problems Problems
			if err := w.problem(2*time.Second, row.want); !errors.As(err, &problems) || problems[0].Line == 0 {
				t.Errorf("no place in %v", err)
			}
		}
		w.put("svc", "timeout: 3s")
		w.revision(3 * time.Second)
	})

	t.Run("unknown field", func(t *testing.T) {
		t.Parallel()
		w := watch(t)
		w.revision(0)
		w.put("svc", "timeout: 2s\nretry:\n  max_atempts: 2\n")
		r := w.revision(2 * time.Second)
		if got := plainly(r.Warnings); got != "3:3: retry.max_atempts: unknown field, not applied; did you mean max_attempts?" {
			t.Errorf("warned %q", got)
		}
	})

	t.Run("conflicts of layers", func(t *testing.T) {
		t.Parallel()
		w := watch(t)
		w.revision(0)
		w.put("svc", "timeout: 2s\nattempt_timeout: 1s")
		w.revision(2 * time.Second)
		w.put("svc", "attempt_timeout: 1s")
		w.revision(0)
		w.put("_default", "timeout: 500ms")
		if r := w.revision(500 * time.Millisecond); r.Policy.AttemptTimeout != 499*time.Millisecond || len(r.Warnings) != 1 {
			t.Errorf("%s, warned %v", r.Policy.AttemptTimeout, r.Warnings)
		}
	})

	t.Run("ten changes a second", func(t *testing.T) {
		t.Parallel()
		w := watch(t)
		w.revision(0)
		const changes = 30
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for i := range changes {
			w.put("svc", fmt.Sprintf("timeout: %dms", i+1))
			<-tick.C
		}
		for last := w.first(); ; {
			e := w.next()
			if e.err != nil || e.at.Sub(last) < minSwap {
				t.Fatalf("%v after %s", e.err, e.at.Sub(last))
			}
			if last = e.at; e.revision.Policy.Timeout == changes*time.Millisecond {
				break
			}
		}
	})
}

// first is the time of the next publication.
func (w *watched) first() time.Time { w.t.Helper(); return w.next().at }

func TestKVUnreachable(t *testing.T) {
	w := watchKV(t, nil, consul.Agent{Address: "127.0.0.1:1"}, "")
	w.revision(0)
	for range 2 { // one for each document
		w.failure(0, "127.0.0.1:1 is unreachable")
	}
}

func TestKVWrongSettings(t *testing.T) {
	w := watchKV(t, nil, consul.Agent{Address: "nowhere://x"}, "")
	w.revision(0)
	w.failure(0, "nowhere")
}

func TestKVOutlivesConsul(t *testing.T) {
	t.Parallel()
	agent := consultest.Start(t, consultest.WithOwn(), consultest.WithDataDir(t.TempDir()))
	w := watchKV(t, agent, agent.Agent(), "onehop/policy")
	w.revision(0)
	w.put("svc", "timeout: 2s")
	w.revision(2 * time.Second)
	agent.Kill(t)
	for range 2 {
		w.failure(2*time.Second, "consul at "+agent.Addr)
	}
	agent.Restart(t)
	w.revision(2 * time.Second) // the errors are over
	w.put("svc", "timeout: 3s")
	w.revision(3 * time.Second)
}

// A token that is lost (403) changes nothing, where a deleted key (404) publishes the layer under it.
func TestKVTokenLost(t *testing.T) {
	t.Parallel()
	agent := consultest.Start(t, consultest.WithACL())
	agent.Do(t, "PUT", "/v1/acl/policy", map[string]string{"Name": "policies", "Rules": `key_prefix "onehop/policy/" { policy = "read" }`})
	accessor, secret := newToken(t, agent)
	settings := consul.Agent{Address: agent.Addr, Token: secret, Wait: 2 * time.Second}

	w := watchKV(t, agent, settings, "onehop/policy")
	w.revision(0)
	w.put("_default", "timeout: 1s")
	w.revision(time.Second)
	w.put("svc", "timeout: 2s")
	w.revision(2 * time.Second)

	agent.Do(t, "DELETE", "/v1/acl/token/"+accessor, nil)
	for range 2 {
		if err := w.problem(2*time.Second, "denied"); !consulapi.IsDenied(err) || strings.Contains(err.Error(), secret) {
			t.Errorf("denied: %v", err)
		}
	}

	settings.Wait *= 2 // another client, as another process would be
	later := watchKV(t, agent, settings, "onehop/policy")
	later.revision(0)
	for range 2 {
		later.failure(0, "denied")
	}
}

func newToken(t *testing.T, agent *consultest.Agent) (accessor, secret string) {
	t.Helper()
	var token struct{ AccessorID, SecretID string }
	answer := agent.Do(t, "PUT", "/v1/acl/token", map[string]any{"Policies": []map[string]string{{"Name": "policies"}}})
	if err := json.Unmarshal(answer, &token); err != nil {
		t.Fatal(err)
	}
	return token.AccessorID, token.SecretID
}

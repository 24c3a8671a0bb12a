package faults

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/onehop-go/onehop"
	"github.com/onehop-go/onehop/consul"
	"github.com/onehop-go/onehop/grpcresolver"
	"github.com/onehop-go/onehop/httpclient"
	"github.com/onehop-go/onehop/policy"
	"github.com/onehop-go/onehop/resolver"
)

// A redirect would carry the token wherever it points: to a thief, or to what the agent itself does for another host.
func TestConsulRedirectIsNotFollowed(t *testing.T) {
	t.Parallel()
	thief := newFakeAgent(t, list("7", health("pay", []string{"127.0.0.1:1"})))
	var followed atomic.Int32
	for _, code := range []int{http.StatusMovedPermanently, http.StatusFound, http.StatusTemporaryRedirect, http.StatusPermanentRedirect} {
		f := newFakeAgent(t, func(w http.ResponseWriter, r *http.Request, n int) {
			if r.Host == thief.addr || r.URL.Path == "/elsewhere" {
				followed.Add(1)
			}
			to := "http://" + thief.addr + r.URL.Path
			if n%2 == 1 {
				to = "/elsewhere"
			}
			http.Redirect(w, r, to, code)
		})
		hop := newHop(t, onehop.WithConsul(consul.Agent{Address: f.addr, Token: "canary"}))
		up := hop.Upstream("pay")
		await(t, "a request", func() bool { return f.asked() > 0 })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		_, err := onehop.Do(ctx, up, nothing)
		cancel()
		if err == nil {
			t.Errorf("%d: a redirect was followed", code)
		}
	}
	if n := thief.asked() + int(followed.Load()); n != 0 {
		t.Errorf("%d requests followed a redirect", n)
	}
}

// witness collects all that a client says to anybody.
type witness struct {
	mu   sync.Mutex
	text strings.Builder
}

func (w *witness) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.Write(b)
}

func (w *witness) say(values ...any) {
	for _, v := range values {
		_, _ = fmt.Fprintf(w, "%v\n%+v\n%s\n", v, v, v)
	}
}

func (w *witness) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

func (w *witness) option() onehop.Option {
	return onehop.WithObserver(onehop.Observer{
		CallDone:    func(_ context.Context, c onehop.Call) { w.say(c, c.Err) },
		AttemptDone: func(_ context.Context, a onehop.Attempt) { w.say(a, a.Err) },
		Decided:     func(_ context.Context, d onehop.Decision) { w.say(d) },
		Resolved:    func(_ context.Context, t resolver.Target, s resolver.Snapshot, err error) { w.say(t, s, err) },
		Configured: func(_ context.Context, service string, r policy.Revision, err error) {
			w.say(service, r, err)
			for _, warning := range r.Warnings {
				w.say(warning)
			}
		},
	})
}

// echo is an agent, or what stands before it, that repeats a request in its error, as pages for debugging do.
func echo(code int) func(http.ResponseWriter, *http.Request, int) {
	return func(w http.ResponseWriter, r *http.Request, _ int) {
		w.WriteHeader(code)
		_, _ = fmt.Fprintf(w, "%s%v", strings.Repeat("x", 20), r.Header)
	}
}

// garble repeats the token in an answer that is no HTTP.
func garble(w http.ResponseWriter, r *http.Request, _ int) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	_, _ = fmt.Fprintf(conn, "\x1b[2J%s\r\n\r\n", r.Header.Get("X-Consul-Token"))
	_ = conn.Close()
}

// A token and a value of KV go through every failure there is, and are seen nowhere.
func TestCanaryIsNeverSeen(t *testing.T) {
	t.Parallel()
	const token, value = "c4nary0f-70ke-4nnn-8nnn-c4naryc4nary", "canary-of-kv"
	var w witness
	document := "timeout: 1s # " + value + "\nnote_x: " + value + "\nretry: {max_attempts: 99, backoff: {initial: " + value + "}}\n"
	applied := "timeout: 1s\nnote_x: " + value + "\n" + value + ": 1\nretry: {when: [" + value + "]}\n"
	kv := func(document string) func(http.ResponseWriter, *http.Request, int) {
		return func(rw http.ResponseWriter, r *http.Request, n int) {
			rw.Header().Set("X-Consul-Index", "7")
			if key, ok := strings.CutPrefix(r.URL.Path, "/v1/kv/"); ok {
				_, _ = fmt.Fprintf(rw, `[{"Key":%q,"Value":%q,"ModifyIndex":7}]`, key, base64Of(document))
				return
			}
			list("7", health("pay", []string{"127.0.0.1:1"}))(rw, r, n)
		}
	}
	scripts := map[string]func(http.ResponseWriter, *http.Request, int){
		"broken": broken, "403": status(http.StatusForbidden), "500": status(http.StatusInternalServerError),
		"document": kv(document), "document in force": kv(applied), "no document": kv(value), "garbled": garble,
		"echoed 403": echo(http.StatusForbidden), "echoed 500": echo(http.StatusInternalServerError), "echoed 400": echo(http.StatusBadRequest),
		"echoed index": func(rw http.ResponseWriter, r *http.Request, _ int) {
			rw.Header().Set("X-Consul-Index", r.Header.Get("X-Consul-Token"))
			_, _ = rw.Write([]byte("[]"))
		},
		"cut": func(rw http.ResponseWriter, _ *http.Request, _ int) { _, _ = rw.Write([]byte(`[{"Value":"` + value)) },
		"moved": func(rw http.ResponseWriter, r *http.Request, _ int) {
			http.Redirect(rw, r, "http://127.0.0.1:1/", http.StatusFound)
		},
	}
	for name, script := range scripts {
		f := newFakeAgent(t, script)
		a := consul.Agent{Address: f.addr, Token: token}
		logs := &logs{}
		hop := newHop(t, onehop.WithConsul(a), onehop.WithLogger(logs.logger()), w.option(), onehop.WithCacheDir(t.TempDir()))
		up := hop.Upstream("pay")
		await(t, "a request", func() bool { return f.asked() > 0 })
		ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		_, err := onehop.Do(ctx, up, func(context.Context, resolver.Endpoint) (int, error) { return 0, http.ErrHandlerTimeout })
		ready := hop.Ready(ctx, "pay")
		cancel()
		w.say(name, a, &a, err, ready, logs.String())
	}
	_, err := onehop.New(onehop.WithConsul(consul.Agent{Address: "no address at all", Token: token + "\n"}))
	w.say(err)
	_, err = resolver.ParseTarget("consul://user:" + token + "@host/pay?token=" + token + "&nonsense=1")
	w.say(err)
	hop := newHop(t, onehop.WithConsul(consul.Agent{Token: token}), onehop.WithLogger(slog.New(slog.NewTextHandler(&w, nil))),
		onehop.WithResolver(resolver.Static{}), onehop.WithPolicies(policy.Static{}))
	for _, target := range []string{"consul://" + token + "@elsewhere:8500/pay", "consul:///a/b?token=" + token, "consul://u:" + token + "@h/pay?nonsense=1"} {
		conn, err := grpcresolver.NewClient(hop, target, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err == nil {
			_ = conn.Close()
			t.Errorf("%s is taken for the client's own agent", target)
		}
		w.say(err)
	}
	said := w.String()
	for _, canary := range []string{token, value, base64Of(document), base64Of(applied)} {
		if i := strings.Index(said, canary); i >= 0 {
			t.Errorf("the canary %s is seen: ...%s...", canary, said[max(0, i-200):min(len(said), i+100)])
		}
	}
	if !strings.Contains(said, "max_attempts") || !strings.Contains(said, "unreachable") {
		t.Error("the failures themselves were not told: nothing was tried")
	}
}

// A proxy would be a second hop, and would see what is not for it. Our dials go to the endpoint even where the transport
// believes in one: what would be lost is the form of the request (RFC 9112, 3.2.2), and the proxy's password to the service.
func TestProxyIsIgnoredForServices(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	proxy := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer proxy.Close()
	u, _ := url.Parse(proxy.URL)
	u.User = url.UserPassword("canary", "canary")
	s := newServer(t)
	var line, credentials string
	s.behave(func(_ http.ResponseWriter, r *http.Request) {
		line, credentials = r.RequestURI, r.Header.Get("Proxy-Authorization")
	})
	web := webOf(t, static(t, policy.Default(), []string{s.addr}), httpclient.WithTransport(&http.Transport{Proxy: http.ProxyURL(u)}))
	if o := get(t, web, "http://pay/path?q=1"); !o.ok() || asked.Load() != 0 || s.seen() != 1 {
		t.Errorf("%v; the proxy saw %d requests, the service %d", o.err, asked.Load(), s.seen())
	}
	if line != "/path?q=1" || credentials != "" {
		t.Errorf("the service was asked for %q, with the proxy's credentials %q", line, credentials)
	}
}

// No name leaves the path of the API it is asked by.
func TestServiceNameCannotTraverse(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var paths []string
	f := newFakeAgent(t, func(w http.ResponseWriter, r *http.Request, n int) {
		mu.Lock()
		paths = append(paths, r.URL.EscapedPath())
		mu.Unlock()
		list("7", "[]")(w, r, n)
	})
	hop := newHop(t, onehop.WithConsul(f.agent()))
	for _, name := range []string{"../kv/secret", "..", ".", "a/../../kv/secret", "a%2f..%2fkv", "pay?token=x", "pay#x",
		"pay\r\nX: y", "//evil", `..\kv`, "pay/../x"} {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		_, err := onehop.Do(ctx, hop.UpstreamTarget(resolver.Target{Service: name}), nothing)
		cancel()
		if err == nil {
			t.Errorf("%q could be called", name)
		}
		if _, ok := resolver.ParseHost(name); ok {
			t.Errorf("%q passes for a host", name)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	for _, p := range paths {
		inside := false
		for _, prefix := range []string{"/v1/health/service/", "/v1/kv/onehop/policy/", "/v1/discovery-chain/"} {
			rest, ok := strings.CutPrefix(p, prefix)
			inside = inside || ok && !strings.Contains(rest, "/") && rest != "." && rest != ".."
		}
		if !inside {
			t.Errorf("Consul was asked for %s", p)
		}
	}
}

// A redirect of the application goes to another service without the credentials of the first.
func TestApplicationRedirectCarriesNoCredentials(t *testing.T) {
	t.Parallel()
	first, second := newServer(t), newServer(t)
	var seen atomic.Value
	first.behave(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "http://other/", http.StatusFound) })
	second.behave(func(_ http.ResponseWriter, r *http.Request) {
		seen.Store(r.Header.Get("Authorization") + r.Header.Get("Cookie"))
	})
	hop := newHop(t, onehop.WithResolver(resolver.Static{"pay": {first.addr}, "other": {second.addr}}), onehop.WithPolicies(policy.Static{}))
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://pay/", nil)
	req.Header.Set("Authorization", "Bearer canary")
	req.Header.Set("Cookie", "a=canary")
	resp, err := webOf(t, hop).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if got := seen.Load(); got != "" {
		t.Errorf("the other service was told %q", got)
	}
}

// Whoever may register an instance could have every caller ask its own machine's metadata.
func TestMetadataAddressIsRefused(t *testing.T) {
	t.Parallel()
	for _, addr := range []string{"169.254.169.254:80", "[fe80::1]:80", "[fd00:ec2::254]:80", "0.0.0.0:80"} {
		good := []string{"192.0.2.1:80", "192.0.2.2:80"}
		f := newFakeAgent(t, list("7", health("pay", good)))
		var e eye
		hop := newHop(t, onehop.WithConsul(f.agent()), onehop.WithPolicies(policy.Static{}), e.option())
		up := hop.Upstream("pay")
		e.awaitListed(t, 2)
		f.script(list("8", health("pay", append(good, addr))))
		await(t, "the refusal", func() bool { _, err := e.troubled(); return err != nil })
		if _, err := e.troubled(); !strings.Contains(err.Error(), "address") {
			t.Errorf("%s: %v", addr, err)
		}
		for range 20 {
			_, err := onehop.Do(t.Context(), up, func(_ context.Context, ep resolver.Endpoint) (int, error) {
				if !contains(good, ep.Addr) {
					t.Errorf("%s was called", ep.Addr)
				}
				return 0, nil
			})
			if err != nil {
				t.Error(err)
			}
		}
	}
}

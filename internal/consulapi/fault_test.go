package consulapi

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onehop-go/onehop/consul"
)

// perSecond fails t if more than n+burst of times lie in any window of n seconds.
func perSecond(t *testing.T, times []time.Time) {
	t.Helper()
	slices.SortFunc(times, time.Time.Compare)
	for i := range times {
		for j := i + burst; j < len(times); j++ {
			if allowed := times[j].Sub(times[i]).Seconds() + burst; float64(j-i+1) > allowed+1e-6 {
				t.Fatalf("%d requests within %v", j-i+1, times[j].Sub(times[i]))
			}
		}
	}
}

func TestFlappingAgentIsAskedGently(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.body = instances(1, 3)
		l := f.watch(t, f.client(t, consul.Agent{}), ServiceQuery{})
		begin := time.Now()
		for i := range 3600 {
			time.Sleep(time.Second)
			f.switchOff(i%2 == 0)
		}
		asked := f.asked(begin)
		perSecond(t, asked)
		// A dial is no request, and net/http may dial once more after a connection broke; still they are few.
		if n := f.refused(); len(asked) < 100 || n > 3600 {
			t.Errorf("%d requests and %d refused dials in an hour", len(asked), n)
		}
		for _, list := range l.lists {
			if list != ids(1, 3) {
				t.Fatalf("believed %q", list)
			}
		}
		if len(l.kinds()) == 0 {
			t.Error("no failure was told")
		}
	})
}

func TestIndexGoesBackwards(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.set("1000", instances(1, 3))
		l := f.watch(t, f.client(t, consul.Agent{}), ServiceQuery{})
		time.Sleep(5 * time.Second)
		f.set("20", instances(1, 4)) // a snapshot was restored; the query wakes
		time.Sleep(time.Second)
		if l.believed() != ids(1, 4) {
			t.Fatalf("believed %q after the restore", l.believed())
		}
		for i := range 3 {
			time.Sleep(3 * time.Second)
			f.set(fmt.Sprint(21+i), instances(1, 5+i))
			time.Sleep(time.Second)
			if l.believed() != ids(1, 5+i) {
				t.Fatalf("believed %q 1 s after the change to %d", l.believed(), 5+i)
			}
		}
		perSecond(t, f.asked(time.Time{}))
	})
}

func TestRestartedAgentIsAskedWithoutIndex(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.set("1000", instances(1, 3))
		l := f.watch(t, f.client(t, consul.Agent{}), ServiceQuery{})
		time.Sleep(5 * time.Second)
		f.switchOff(true)
		f.set("15", instances(1, 3))
		f.switchOff(false)
		time.Sleep(2 * time.Second)
		f.mu.Lock()
		first := f.requests[len(f.requests)-2]
		f.mu.Unlock()
		if first.index != "" {
			t.Errorf("the first request after a broken connection has index %s", first.index)
		}
		f.set("16", instances(1, 4))
		time.Sleep(time.Second)
		if l.believed() != ids(1, 4) {
			t.Errorf("believed %q 1 s after the change", l.believed())
		}
	})
}

func TestContentIsComparedNotTheIndex(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.set("7", `[{"Key":"k","Value":"b25l","ModifyIndex":7}]`)
		events := watchKey(t, f.client(t, consul.Agent{}), "k")
		time.Sleep(5 * time.Second)
		f.switchOff(true)
		f.set("7", `[{"Key":"k","Value":"dHdv","ModifyIndex":7}]`) // restarted: same index, other value
		f.switchOff(false)
		time.Sleep(time.Second)
		var got []event
		for len(events) > 0 {
			got = append(got, <-events)
		}
		if len(got) != 3 || got[0].value != "one" || KindOf(got[1].err) != Unreachable || got[2].value != "two" {
			t.Errorf("events %+v", got)
		}
	})
}

func TestIndexThatIsNone(t *testing.T) {
	for _, index := range []string{"0", "", "abc", "-1", "99999999999999999999999"} {
		synctest.Test(t, func(t *testing.T) {
			f := newFake(t)
			f.set(index, instances(1, 3))
			l := f.watch(t, f.client(t, consul.Agent{}), ServiceQuery{})
			time.Sleep(time.Minute)
			sustained := time.Now()
			time.Sleep(time.Hour)
			if n := len(f.asked(sustained)); n > 3600/15 {
				t.Errorf("index %q: %d requests in an hour", index, n)
			}
			if kinds := l.kinds(); len(kinds) < 100 || kinds[0] != Malformed {
				t.Errorf("index %q: failures %v", index, kinds)
			}
			f.set(index, instances(1, 4))
			time.Sleep(30 * time.Second)
			if l.believed() != ids(1, 4) {
				t.Errorf("index %q: believed %q", index, l.believed())
			}
		})
	}
}

func TestOverloadedConsulIsAskedLess(t *testing.T) {
	for _, status := range []int{http.StatusTooManyRequests, http.StatusServiceUnavailable, http.StatusInternalServerError} {
		synctest.Test(t, func(t *testing.T) {
			f := newFake(t)
			f.body = instances(1, 3)
			l := f.watch(t, f.client(t, consul.Agent{}), ServiceQuery{})
			time.Sleep(time.Minute)
			begin := time.Now()
			f.answerBy(func(w http.ResponseWriter, _ *http.Request) bool {
				w.Header().Set("X-Consul-Index", "99999") // none is taken from it
				w.WriteHeader(status)
				return true
			})
			f.set("11", instances(1, 3)) // ends the query that blocks
			time.Sleep(time.Second)
			f.set("12", instances(1, 4))
			time.Sleep(10 * time.Minute)
			if n := len(f.asked(begin.Add(time.Minute))); n > 9*60/15 {
				t.Errorf("%d: %d requests in 9 minutes", status, n)
			}
			if l.believed() != ids(1, 3) || l.kinds()[0] != Server {
				t.Errorf("%d: believed %q", status, l.believed())
			}
			f.answerBy(nil)
			time.Sleep(MaxBackoff + MaxBackoff/2)
			if l.believed() != ids(1, 4) {
				t.Errorf("%d: believed %q after it was over", status, l.believed())
			}
		})
	}
}

func TestEmptyListIsConfirmed(t *testing.T) {
	plain := func(r *http.Request) bool { return r.URL.Query().Get("index") == "" }
	for name, row := range map[string]struct {
		token  string
		answer func(http.ResponseWriter, *http.Request) bool
		kind   Kind
		want   string
	}{
		"filtered by ACLs": {"t", func(w http.ResponseWriter, r *http.Request) bool {
			if plain(r) { // streaming answers lack this header
				w.Header().Set("X-Consul-Results-Filtered-By-Acls", "true")
			}
			return false
		}, Denied, ids(1, 3)},
		"anonymous, and the probe is denied": {"", func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == "/v1/discovery-chain/pay" {
				w.WriteHeader(http.StatusForbidden)
				return true
			}
			return false
		}, Denied, ids(1, 3)},
		"anonymous, allowed by default": {"", func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("X-Consul-Default-Acl-Policy", "allow")
			return false
		}, "", ""},
		"with a token": {"t", func(http.ResponseWriter, *http.Request) bool { return false }, "", ""},
		"the leader disagrees": {"t", func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Query().Has("consistent") {
				w.Header().Set("X-Consul-Index", "11")
				_, _ = w.Write([]byte(instances(1, 2)))
				return true
			}
			return false
		}, "", ids(1, 2)},
		"there is no leader": {"t", func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Query().Has("consistent") {
				w.WriteHeader(http.StatusInternalServerError)
				return true
			}
			return false
		}, Server, ids(1, 3)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(t)
				f.body = instances(1, 3)
				l := f.watch(t, f.client(t, consul.Agent{Token: row.token}), ServiceQuery{})
				time.Sleep(5 * time.Second)
				f.answerBy(row.answer)
				f.set("11", "[]")
				time.Sleep(500 * time.Millisecond)
				if l.believed() != row.want {
					t.Errorf("believed %q, want %q", l.believed(), row.want)
				}
				if kinds := l.kinds(); row.kind == "" && len(kinds) > 0 || row.kind != "" && (len(kinds) == 0 || kinds[0] != row.kind) {
					t.Errorf("failures %v, want %q", kinds, row.kind)
				}
				time.Sleep(10 * time.Minute)
				perSecond(t, f.asked(time.Time{}))
				if l.believed() != row.want {
					t.Errorf("believed %q after 10 minutes, want %q", l.believed(), row.want)
				}
			})
		})
	}
}

func TestShrunkenListIsReadAgainSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.body = instances(1, 10)
		l := f.watch(t, f.client(t, consul.Agent{Token: "t"}), ServiceQuery{})
		time.Sleep(5 * time.Second)
		f.set("11", instances(1, 2))
		time.Sleep(500 * time.Millisecond)
		if l.believed() != ids(1, 2) || !hasParameter(f.last(), "index=11") {
			t.Fatalf("believed %q, last asked %+v", l.believed(), f.last())
		}
		begin := time.Now()
		time.Sleep(2 * time.Second)
		f.mu.Lock()
		consistent := slices.ContainsFunc(f.requests, func(r request) bool {
			return !r.at.Before(begin) && hasParameter(r, "consistent=")
		})
		f.mu.Unlock()
		if !consistent {
			t.Error("no consistent read within 2.5 s of the loss")
		}
		n := len(f.asked(time.Time{}))
		time.Sleep(40 * time.Second)
		if more := len(f.asked(time.Time{})) - n; more > 0 {
			t.Errorf("%d more requests after it was confirmed again", more)
		}
	})
}

func hasParameter(r request, parameter string) bool {
	return slices.Contains(strings.Split(r.query, "&"), parameter)
}

func TestMalformedAnswersChangeNothing(t *testing.T) {
	for name, body := range map[string]string{
		"null":      "null",
		"truncated": `[{"Node":`,
		"html":      "<html>sign in</html>",
		"number":    "7",
		"object":    `{"a":1}`,
		"string":    `[{"Node":"x"}]`,
		"huge":      `["` + strings.Repeat("x", 1<<20),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(t)
				f.body = instances(1, 3)
				c := f.client(t, consul.Agent{})
				c.maxBody = 64 << 10
				l := f.watch(t, c, ServiceQuery{})
				time.Sleep(5 * time.Second)
				f.set("11", body)
				time.Sleep(time.Minute)
				synctest.Wait()
				if text := l.firstError(); strings.Contains(text, "larger than") != (name == "huge") {
					t.Errorf("error %s", text)
				}
				if kinds := l.kinds(); len(kinds) == 0 || kinds[0] != Malformed || l.believed() != ids(1, 3) {
					t.Errorf("failures %v, believed %q", kinds, l.believed())
				}
				perSecond(t, f.asked(time.Time{}))
				f.set("12", instances(1, 4))
				time.Sleep(MaxBackoff + MaxBackoff/2)
				if l.believed() != ids(1, 4) {
					t.Errorf("believed %q after it was over", l.believed())
				}
			})
		})
	}
}

func TestImpossibleInstancesChangeNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.body = instances(1, 3)
		l := f.watch(t, f.client(t, consul.Agent{}), ServiceQuery{})
		time.Sleep(5 * time.Second)
		l.mu.Lock()
		l.refuse = errRefused // any
		l.mu.Unlock()
		f.set("11", `[null, {"Node":null,"Service":null}]`)
		time.Sleep(time.Minute)
		if kinds := l.kinds(); len(kinds) == 0 || kinds[0] != Malformed || l.believed() != ids(1, 3) {
			t.Errorf("failures %v, believed %q", kinds, l.believed())
		}
	})
}

func TestDrippingAnswerIsAborted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.answerBy(func(w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("X-Consul-Index", "1")
			for r.Context().Err() == nil {
				if _, err := w.Write([]byte(" ")); err != nil {
					break
				}
				_ = http.NewResponseController(w).Flush()
				_ = sleep(r.Context(), time.Second, nil)
			}
			return true
		})
		l := f.watch(t, f.client(t, consul.Agent{}), ServiceQuery{})
		time.Sleep(slack + time.Second)
		if kinds := l.kinds(); !slices.Equal(kinds, []Kind{Unreachable}) {
			t.Fatalf("failures %v", kinds)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if f.mu.Lock(); len(f.conns) > 1 {
			t.Errorf("%d connections", len(f.conns))
		}
		f.mu.Unlock()
	})
}

func TestSilentAgentEndsABlockingQuery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.body = instances(1, 3)
		l := f.watch(t, f.client(t, consul.Agent{}), ServiceQuery{})
		time.Sleep(5 * time.Second)
		f.answerBy(func(_ http.ResponseWriter, r *http.Request) bool { <-r.Context().Done(); return true })
		f.set("11", instances(1, 4)) // the query that blocks is answered; the next one never is
		time.Sleep(defaultWait + defaultWait/16 + slack + time.Second)
		if kinds := l.kinds(); len(kinds) != 1 || kinds[0] != Unreachable {
			t.Errorf("failures %v", kinds)
		}
	})
}

func TestChurnIsCoalesced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.body = instances(1, 3)
		l := f.watch(t, f.client(t, consul.Agent{}), ServiceQuery{})
		time.Sleep(5 * time.Second)
		begin := time.Now()
		for i := range 6000 {
			time.Sleep(10 * time.Millisecond)
			f.set(fmt.Sprint(11+i), instances(i, 3))
		}
		perSecond(t, f.asked(begin))
		time.Sleep(time.Second)
		if l.believed() != ids(5999, 3) {
			t.Errorf("believed %q 1 s after the last change", l.believed())
		}
	})
}

func TestFullReadEveryFiveToTenMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.body = instances(1, 3)
		f.watch(t, f.client(t, consul.Agent{}), ServiceQuery{})
		time.Sleep(2 * time.Hour)
		var full []time.Time
		f.mu.Lock()
		for _, r := range f.requests {
			if r.index == "" {
				full = append(full, r.at)
			}
		}
		f.mu.Unlock()
		for i := 1; i < len(full); i++ {
			if d := full[i].Sub(full[i-1]); d < minReread || d > maxReread+maxWait+maxWait/16 {
				t.Errorf("a full read %v after the one before", d)
			}
		}
		if len(full) < 11 {
			t.Errorf("%d full reads in 2 hours", len(full))
		}
	})
}

func TestManyWatchesShareFewConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.body = instances(1, 3)
		c := f.client(t, consul.Agent{})
		logs := make([]*record, 400)
		for i := range logs {
			logs[i] = f.watch(t, c, ServiceQuery{})
		}
		time.Sleep(time.Second)
		for i, l := range logs {
			if l.believed() != ids(1, 3) {
				t.Fatalf("watch %d has nothing after 1 s", i)
			}
		}
		time.Sleep(3 * time.Minute)
		f.set("11", instances(1, 4))
		time.Sleep(maxTurnWait + 2*time.Second)
		for i, l := range logs {
			if l.believed() != ids(1, 4) {
				t.Fatalf("watch %d has not seen the change after %v", i, maxTurnWait+2*time.Second)
			}
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.most >= 128 {
			t.Errorf("%d connections at once", f.most)
		}
	})
}

func TestRedirectIsNotFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.answerBy(func(w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, "http://192.0.2.9/stolen", http.StatusTemporaryRedirect)
			return true
		})
		l := f.watch(t, f.client(t, consul.Agent{Token: "t"}), ServiceQuery{})
		time.Sleep(10 * time.Second)
		if kinds := l.kinds(); len(kinds) == 0 || kinds[0] != Malformed {
			t.Errorf("failures %v", kinds)
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		for _, r := range f.requests {
			if r.query == "" {
				t.Error("the redirect was followed")
			}
		}
	})
}

func TestMissingKeyIsReadTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.set("10", `[{"Key":"k","Value":"b25l","ModifyIndex":7}]`)
		events := watchKey(t, f.client(t, consul.Agent{}), "k")
		time.Sleep(5 * time.Second)
		f.answerBy(func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Query().Has("stale") {
				w.Header().Set("X-Consul-Index", "11")
				w.WriteHeader(http.StatusNotFound)
				return true
			}
			return false
		})
		f.set("11", `[{"Key":"k","Value":"b25l","ModifyIndex":7}]`) // only a server that lags behind has no key
		time.Sleep(10 * time.Second)
		f.answerBy(func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(http.StatusForbidden); return true })
		f.set("12", "")
		time.Sleep(time.Minute)
		f.answerBy(nil)
		time.Sleep(MaxBackoff + MaxBackoff/2)
		var got []string
		for len(events) > 0 {
			e := <-events
			text := fmt.Sprint(e.value, e.exists, KindOf(e.err))
			if len(got) == 0 || got[len(got)-1] != text {
				got = append(got, text)
			}
		}
		if want := []string{"onetrue", "false" + "denied", "false"}; !slices.Equal(got, want) {
			t.Errorf("events %q, want %q", got, want)
		}
	})
}

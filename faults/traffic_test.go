package faults

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/onehop-go/onehop"
	"github.com/onehop-go/onehop/httpclient"
	"github.com/onehop-go/onehop/internal/consultest"
	"github.com/onehop-go/onehop/policy"
	"github.com/onehop-go/onehop/resolver"
)

// logs is what a client wrote, for rows that look at it.
type logs struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logs) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func (l *logs) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// newHop is a client without disk cache and log, unless opts say otherwise, closed with t.
func newHop(t *testing.T, opts ...onehop.Option) *onehop.Client {
	t.Helper()
	opts = append([]onehop.Option{onehop.WithCacheDir(""), onehop.WithLogger(slog.New(slog.DiscardHandler))}, opts...)
	hop, err := onehop.New(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := hop.Close(); err != nil {
			t.Error(err)
		}
	})
	return hop
}

// static is a client of service "pay" at addrs with policy p.
func static(t *testing.T, p policy.Policy, addrs []string, opts ...onehop.Option) *onehop.Client {
	t.Helper()
	return newHop(t, append([]onehop.Option{
		onehop.WithResolver(resolver.Static{"pay": addrs}), onehop.WithPolicies(policy.Static{"pay": p}),
	}, opts...)...)
}

// consulHop is a client of a's services, with the default policy.
func consulHop(t *testing.T, a *consultest.Agent, opts ...onehop.Option) *onehop.Client {
	t.Helper()
	return newHop(t, append([]onehop.Option{onehop.WithConsul(a.Agent()), onehop.WithPolicies(policy.Static{})}, opts...)...)
}

// webOf calls through hop; its idle connections close with t.
func webOf(t *testing.T, hop *onehop.Client, opts ...httpclient.Option) *http.Client {
	t.Helper()
	web := httpclient.New(hop, opts...)
	t.Cleanup(web.CloseIdleConnections)
	return web
}

// outcome is one call as its caller saw it.
type outcome struct {
	id       string
	status   int
	instance string
	took     time.Duration
	err      error
}

func (o outcome) ok() bool { return o.err == nil && o.status < 500 }

var callIDs atomic.Int64

// call makes one call and reads its answer.
func call(ctx context.Context, web *http.Client, method, url string) outcome {
	return callWith(ctx, web, method, url, nil)
}

func callWith(ctx context.Context, web *http.Client, method, url string, body io.Reader) outcome {
	o := outcome{id: "call-" + strconv.FormatInt(callIDs.Add(1), 10)}
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		o.err = err
		return o
	}
	req.Header.Set(consultest.CallIDHeader, o.id)
	start := time.Now()
	resp, err := web.Do(req)
	o.took = time.Since(start)
	if err != nil {
		o.err = err
		return o
	}
	o.status, o.instance = resp.StatusCode, resp.Header.Get(consultest.InstanceHeader)
	_, o.err = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	return o
}

// get is call without anything particular.
func get(t *testing.T, web *http.Client, url string) outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	return call(ctx, web, http.MethodGet, url)
}

// traffic is calls made at a steady rate, answered or not, until it is stopped.
type traffic struct {
	t     *testing.T
	stopC chan struct{}
	wg    sync.WaitGroup

	mu   sync.Mutex
	all  []outcome
	next chan struct{} // closed at the next outcome
}

// deadline of each call: a call that needs it has failed.
const deadline = 20 * time.Second

// drive begins traffic of GETs at url.
func drive(t *testing.T, web *http.Client, url string, rps int) *traffic {
	t.Helper()
	return driveBy(t, rps, func(ctx context.Context) outcome { return call(ctx, web, http.MethodGet, url) })
}

// driveBy begins traffic of whatever one makes.
func driveBy(t *testing.T, rps int, one func(context.Context) outcome) *traffic {
	t.Helper()
	tr := &traffic{t: t, stopC: make(chan struct{}), next: make(chan struct{})}
	tr.wg.Go(func() { tr.run(rps, one) })
	t.Cleanup(func() { tr.stop() })
	return tr
}

// run begins what is due at each tick; a machine that cannot keep up makes fewer calls, not a storm later.
func (tr *traffic) run(rps int, one func(context.Context) outcome) {
	step := max(time.Second/time.Duration(rps), 5*time.Millisecond)
	ticker := time.NewTicker(step)
	defer ticker.Stop()
	perStep := float64(rps) * step.Seconds()
	due := 0.0
	for {
		select {
		case <-tr.stopC:
			return
		case <-ticker.C:
		}
		for due += perStep; due >= 1; due-- {
			tr.wg.Go(func() {
				ctx, cancel := context.WithTimeout(context.Background(), deadline)
				defer cancel()
				tr.add(one(ctx))
			})
		}
	}
}

func (tr *traffic) add(o outcome) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.all = append(tr.all, o)
	close(tr.next)
	tr.next = make(chan struct{})
}

// count is the calls that ended so far.
func (tr *traffic) count() int {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return len(tr.all)
}

// more waits until n more calls have ended.
func (tr *traffic) more(n int) {
	tr.t.Helper()
	want := tr.count() + n
	tr.until(fmt.Sprintf("%d more calls", n), func(all []outcome) bool { return len(all) >= want })
}

// until waits until the outcomes so far fulfil f.
func (tr *traffic) until(what string, f func([]outcome) bool) {
	tr.t.Helper()
	timeout := time.After(time.Minute)
	for {
		all, next := tr.seen()
		if len(all) > 0 && f(all) {
			return
		}
		select {
		case <-next:
		case <-timeout:
			tr.t.Fatalf("in vain: %s", what)
		}
	}
}

// seen is the outcomes so far, and what is closed at the next.
func (tr *traffic) seen() ([]outcome, <-chan struct{}) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return slices.Clip(tr.all), tr.next
}

// stop ends the traffic, waits for what runs, and returns all outcomes. Again: the same.
func (tr *traffic) stop() tally {
	select {
	case <-tr.stopC:
	default:
		close(tr.stopC)
	}
	tr.wg.Wait()
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return tally(tr.all)
}

// since is the outcomes from number n on.
func (tr *traffic) since(n int) tally {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return tally(slices.Clone(tr.all[n:]))
}

// tally is outcomes to be judged.
type tally []outcome

func (l tally) failed() (n int) {
	for i := range l {
		if !l[i].ok() {
			n++
		}
	}
	return n
}

// okShare is the share of calls that were answered well.
func (l tally) okShare() float64 { return 1 - float64(l.failed())/float64(max(1, len(l))) }

// quantile of the time to the answer.
func (l tally) quantile(q float64) time.Duration {
	if len(l) == 0 {
		return 0
	}
	s := slices.Clone(l)
	slices.SortFunc(s, func(a, b outcome) int { return cmp.Compare(a.took, b.took) })
	return s[min(len(s)-1, int(q*float64(len(s))))].took
}

// slowerThan is the share of the calls that took longer than d.
func (l tally) slowerThan(d time.Duration) float64 {
	n := 0
	for _, o := range l {
		if o.took > d {
			n++
		}
	}
	return float64(n) / float64(max(1, len(l)))
}

// wantNoneFailed is F0.
func (l tally) wantNoneFailed(t *testing.T) {
	t.Helper()
	n := l.failed()
	figuref(t, "%d of %d calls failed", n, len(l))
	if n == 0 && len(l) > 0 {
		return
	}
	var why []string
	for i := range l {
		if o := &l[i]; !o.ok() && len(why) < 5 {
			why = append(why, fmt.Sprintf("%s: %d %v", o.id, o.status, o.err))
		}
	}
	t.Errorf("%d of %d calls failed:\n%s", n, len(l), strings.Join(why, "\n"))
}

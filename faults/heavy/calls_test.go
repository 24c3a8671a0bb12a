package heavy

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/onehop-go/onehop"
	"github.com/onehop-go/onehop/httpclient"
	"github.com/onehop-go/onehop/internal/consultest"
)

// backend is a service of this process with a ledger of the calls it has executed.
type backend struct {
	*httptest.Server
	addr  string
	calls atomic.Int64
	body  string
}

// newBackend answers with a body of the size, made of one letter of its own.
func newBackend(t *testing.T, letter byte, size int) *backend {
	t.Helper()
	b := &backend{body: strings.Repeat(string(letter), size)}
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		b.calls.Add(1)
		w.Header().Set("Content-Length", fmt.Sprint(len(b.body)))
		_, _ = io.WriteString(w, b.body)
	}))
	b.addr = b.Listener.Addr().String()
	t.Cleanup(b.Close)
	return b
}

// newWeb is a client of onehop without disk cache and log.
func newWeb(t *testing.T, opts ...onehop.Option) *http.Client {
	t.Helper()
	opts = append([]onehop.Option{onehop.WithCacheDir(""), onehop.WithLogger(slog.New(slog.DiscardHandler))}, opts...)
	hop, err := onehop.New(opts...)
	if err != nil {
		t.Fatal(err)
	}
	web := httpclient.New(hop)
	t.Cleanup(func() {
		web.CloseIdleConnections()
		if err := hop.Close(); err != nil {
			t.Error(err)
		}
	})
	return web
}

// answer is what one call brought.
type answer struct {
	body string
	took time.Duration
	err  error
}

// call reads one answer whole.
func call(web *http.Client) (a answer) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	start := time.Now()
	defer func() { a.took = time.Since(start) }()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://pay/", nil)
	if err != nil {
		return answer{err: err}
	}
	resp, err := web.Do(req)
	if err != nil {
		return answer{err: err}
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end, or broken
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d", resp.StatusCode)
	}
	return answer{body: string(body), err: err} // what came before a break, too
}

// calls makes n calls by four callers, one after the other each.
func calls(web *http.Client, n int) []answer {
	all := make([]answer, n)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				all[i] = call(web)
			}
		})
	}
	wg.Wait()
	return all
}

// wantNoneFailed is F0.
func wantNoneFailed(t *testing.T, all []answer) {
	t.Helper()
	failed := 0
	for _, a := range all {
		if a.err == nil {
			continue
		}
		if failed++; failed <= 3 {
			t.Errorf("%v after %s", a.err, a.took)
		}
	}
	figuref(t, "%d of %d calls failed", failed, len(all))
}

// quantile of the times.
func quantile(all []answer, q float64) time.Duration {
	took := make([]time.Duration, len(all))
	for i, a := range all {
		took[i] = a.took
	}
	slices.Sort(took)
	return took[min(len(took)-1, int(q*float64(len(took))))]
}

// await waits until ok, which is looked at often.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	consultest.Until(t, what, ok)
}

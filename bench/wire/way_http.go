package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/failsafe-go/failsafe-go/failsafehttp"
	"github.com/failsafe-go/failsafe-go/timeout"

	"github.com/onehop-go/onehop"
	"github.com/onehop-go/onehop/httpclient"
)

// manyIdle keeps every connection of the highest load: net/http keeps 2 for each host, and dials the others anew.
const manyIdle = 256

// newTransport is net/http's, without a limit of connections and without the proxies of the environment.
func newTransport() *http.Transport {
	return &http.Transport{MaxIdleConnsPerHost: manyIdle, IdleConnTimeout: 90 * time.Second}
}

// get makes one call with c and reads its answer to the end.
func get(ctx context.Context, c interface {
	Do(req *http.Request) (*http.Response, error)
}, url string,
) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := c.Do(req)
	if err != nil {
		return err
	}
	n, err := io.Copy(io.Discard, resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK || n != int64(len(payload)) {
		return fmt.Errorf("%s with %d bytes", resp.Status, n)
	}
	return nil
}

// newNetHTTP takes the instances in turn: the least that a caller of several instances can do.
func newNetHTTP(addrs []string) call {
	c, all, t := &http.Client{Transport: newTransport()}, urls(addrs), turns{n: uint64(len(addrs))}
	return func(ctx context.Context) error { return get(ctx, c, all[t.next()]) }
}

// newOnehop calls the service by its name.
func newOnehop(hop *onehop.Client) call {
	c := httpclient.New(hop)
	return func(ctx context.Context) error { return get(ctx, c, "http://"+service+"/") }
}

// newFailsafe has failsafe-go's retries, breaker and timeout, in the order of its documentation, over round robin. Its
// numbers are onehop's defaults where both have them.
//
//nolint:bodyclose // it names the type of a response, and has none
func newFailsafe(addrs []string) call {
	retry := failsafehttp.NewRetryPolicyBuilder().WithMaxAttempts(3).WithBackoff(25*time.Millisecond, time.Second).WithJitterFactor(0.5).Build()
	breaker := circuitbreaker.NewBuilder[*http.Response]().
		HandleIf(func(r *http.Response, err error) bool {
			return err != nil || r.StatusCode >= http.StatusInternalServerError
		}).
		WithFailureRateThreshold(0.5, 20, 10*time.Second).WithDelay(5 * time.Second).Build()
	inTurn := &roundRobin{base: newTransport(), addrs: addrs, turns: turns{n: uint64(len(addrs))}}
	c := &http.Client{Transport: failsafehttp.NewRoundTripper(inTurn, retry, breaker, timeout.New[*http.Response](callTimeout))}
	return func(ctx context.Context) error { return get(ctx, c, "http://"+service+"/") }
}

// callTimeout is what a way that has a timeout is given: far above what a call takes.
const callTimeout = 20 * time.Second

// roundRobin sends each request to the next of the addresses, a retry to another than the first.
type roundRobin struct {
	turns

	base  http.RoundTripper
	addrs []string
}

// RoundTrip sends a copy of req, as a RoundTripper must not change it.
func (r *roundRobin) RoundTrip(req *http.Request) (*http.Response, error) {
	u := *req.URL
	u.Host = r.addrs[r.next()]
	out := req.WithContext(req.Context())
	out.URL = &u
	return r.base.RoundTrip(out)
}

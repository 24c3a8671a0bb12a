package peers

import (
	"io"
	"net/http"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/failsafe-go/failsafe-go/failsafehttp"
	"github.com/failsafe-go/failsafe-go/timeout"
	"github.com/gojek/heimdall/v7"
	"github.com/gojek/heimdall/v7/hystrix"
	"github.com/hashicorp/go-retryablehttp"
	"github.com/sony/gobreaker/v2"
	"github.com/zeromicro/go-zero/core/logx"
	"github.com/zeromicro/go-zero/rest/httpc"
)

// retries beyond the first attempt, everywhere: three attempts, as by onehop's default.
const retries = 2

// retryableClient is the pair put together by hand: retries inside, one breaker for the service around them.
func retryableClient() (Candidate, error) {
	c := retryablehttp.NewClient()
	c.HTTPClient, c.Logger, c.RetryMax = &http.Client{Transport: stub{}}, nil, retries
	breaker := gobreaker.NewCircuitBreaker[*http.Response](gobreaker.Settings{Name: service, Interval: 10 * time.Second, BucketPeriod: time.Second})
	return Candidate{Name: retryable, Caller: caller(func(r *http.Request) (*http.Response, error) {
		return breaker.Execute(func() (*http.Response, error) {
			wrapped, err := retryablehttp.FromRequest(r)
			if err != nil {
				return nil, err
			}
			return c.Do(wrapped)
		})
	})}, nil
}

func failsafeClient() (Candidate, error) {
	c := &http.Client{Transport: failsafehttp.NewRoundTripper(stub{},
		failsafehttp.NewRetryPolicyBuilder().WithMaxRetries(retries).Build(),
		circuitbreaker.NewWithDefaults[*http.Response](),
		timeout.New[*http.Response](callTimeout),
	)}
	return Candidate{Name: failsafe, Caller: caller(c.Do)}, nil
}

// heimdallClient runs each attempt in hystrix, on a goroutine of its own. hystrix takes a call's ticket back some time after the
// call: with its default of 100, calls in a row are refused where cores are busy.
func heimdallClient() (Candidate, error) {
	c := hystrix.NewClient(
		hystrix.WithHTTPClient(&http.Client{Transport: stub{}}), hystrix.WithCommandName(service), hystrix.WithMaxConcurrentRequests(10_000),
		hystrix.WithHTTPTimeout(callTimeout), hystrix.WithHystrixTimeout(callTimeout), hystrix.WithRetryCount(retries),
		hystrix.WithRetrier(heimdall.NewRetrier(heimdall.NewConstantBackoff(time.Millisecond, time.Millisecond))),
	)
	return Candidate{Name: heimdallHystrix, Caller: caller(c.Do)}, nil
}

// goZeroClient has a breaker, tracing and logging (silenced); it does not retry.
func goZeroClient() (Candidate, error) {
	silenceGoZero()
	c := httpc.NewServiceWithClient(service, &http.Client{Transport: stub{}, Timeout: callTimeout})
	return Candidate{Name: goZero, Caller: caller(c.DoRequest)}, nil
}

// go-zero tells its statistics on stdout each minute, in every program that links it.
func init() { logx.DisableStat() }

func silenceGoZero() {
	logx.Disable()
	logx.SetWriter(logx.NewWriter(io.Discard))
}

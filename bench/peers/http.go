package peers

import (
	"context"
	"net/http"

	"github.com/onehop-go/onehop"
	"github.com/onehop-go/onehop/httpclient"
	"github.com/onehop-go/onehop/policy"
)

// Names of the candidates that the gates speak of.
const (
	bare            = "net/http"
	bareDeadline    = "net/http, a context's deadline"
	hopDefault      = "onehop, default policy"
	hopTimeouts     = "onehop, timeout and attempt_timeout"
	hopObserver     = "onehop, default policy, an Observer"
	failsafe        = "failsafe-go: retry, breaker, timeout"
	retryable       = "go-retryablehttp, gobreaker"
	heimdallHystrix = "heimdall: hystrix, retry, timeout"
	kratosP2C       = "kratos: p2c, timeout"
	kratosBreaker   = "kratos: p2c, timeout, breaker"
	goZero          = "go-zero httpc: breaker, timeout"
)

// overHTTP are the candidates for a GET, bare first.
func overHTTP() (group, error) {
	return build([]func() (Candidate, error){
		bareClient, deadlineClient,
		func() (Candidate, error) { return ours(hopDefault, nil) },
		func() (Candidate, error) { return ours(hopTimeouts, bothTimeouts) },
		func() (Candidate, error) { return ours(hopObserver, nil, onehop.WithObserver(listener)) },
		retryableClient, failsafeClient,
		func() (Candidate, error) { return goZeroClient() },
		func() (Candidate, error) { return kratosClient(kratosP2C) },
		func() (Candidate, error) { return kratosClient(kratosBreaker) },
		heimdallClient,
	})
}

func bareClient() (Candidate, error) {
	c := &http.Client{Transport: stub{}}
	return Candidate{Name: bare, Caller: caller(c.Do)}, nil
}

// deadlineClient is what everybody writes by hand: a context with a timeout for each request, cancelled once the body is read.
func deadlineClient() (Candidate, error) {
	c := &http.Client{Transport: stub{}}
	return Candidate{Name: bareDeadline, Caller: func() func() error {
		r := request()
		return func() error {
			ctx, cancel := context.WithTimeout(r.Context(), callTimeout)
			defer cancel()
			resp, err := c.Do(r.WithContext(ctx))
			if err != nil {
				return err
			}
			return drain(resp)
		}
	}}, nil
}

// ours goes through everything of onehop but the network: the stub stands in for each endpoint's own transport.
func ours(name string, change func(*policy.Policy), opts ...onehop.Option) (Candidate, error) {
	hop, err := newHop(change, opts...)
	if err != nil {
		return Candidate{}, err
	}
	c := httpclient.New(hop, httpclient.WithMiddleware(func(http.RoundTripper) http.RoundTripper { return stub{} }))
	return Candidate{Name: name, Ours: true, Caller: caller(c.Do), Close: hop.Close}, nil
}

package scale

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"time"

	"github.com/onehop-go/onehop"
	"github.com/onehop-go/onehop/bench/report"
	"github.com/onehop-go/onehop/httpclient"
	"github.com/onehop-go/onehop/policy"
	"github.com/onehop-go/onehop/resolver"
)

// upstreamCurves are the costs that depend on how many services a program calls.
type upstreamCurves struct {
	start, memory, goroutines curve
}

// endpointsEach is how many endpoints each of the upstreams has.
const endpointsEach = 3

func measureUpstreams(ctx context.Context, o report.Options, sizes []int, rounds int) (*upstreamCurves, error) {
	c := &upstreamCurves{
		start:      curve{name: "ms until all have answered", ours: true},
		memory:     curve{name: "KiB an upstream", ours: true},
		goroutines: curve{name: "goroutines an upstream", ours: true},
	}
	for _, n := range sizes {
		o.Log("scale: %d upstreams", n)
		var starts, bytes, goroutines []float64
		for range rounds {
			s, err := startUpstreams(ctx, n)
			if err != nil {
				return nil, err
			}
			starts = append(starts, float64(s.took)/float64(time.Millisecond))
			bytes = append(bytes, float64(s.bytes)/float64(n)/1024)
			goroutines = append(goroutines, float64(s.goroutines)/float64(n))
		}
		c.start.add(n, report.MedianOf(starts).Median)
		c.memory.add(n, report.MedianOf(bytes).Median)
		c.goroutines.add(n, report.MedianOf(goroutines).Median)
	}
	return c, nil
}

// started is what a program's start came to.
type started struct {
	took       time.Duration
	bytes      int64
	goroutines int
}

// startUpstreams makes a client and a first call to each of n services, one after the other, on a stub: discovery and policies
// are at hand, and what is left is onehop's own work.
func startUpstreams(ctx context.Context, n int) (s started, err error) {
	services, policies := resolver.Static{}, policy.Static{}
	for i := range n {
		name := fmt.Sprintf("service-%d", i)
		for k := range endpointsEach {
			services[name] = append(services[name], fmt.Sprintf("10.%d.%d.%d:80", k, i>>8, i&255))
		}
		policies[name] = policy.Default()
	}
	before, running := heap(), runtime.NumGoroutine()
	began := time.Now()
	hop, err := onehop.New(onehop.WithResolver(services), onehop.WithPolicies(policies))
	if err != nil {
		return started{}, err
	}
	defer func() { err = errors.Join(err, hop.Close()) }()
	client := httpclient.New(hop, httpclient.WithMiddleware(func(http.RoundTripper) http.RoundTripper { return stub{} }))
	for name := range services {
		if err := get(ctx, client, name); err != nil {
			return started{}, err
		}
	}
	s = started{took: time.Since(began), goroutines: runtime.NumGoroutine() - running, bytes: heap() - before}
	runtime.KeepAlive(client)
	return s, nil
}

func get(ctx context.Context, c *http.Client, service string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+service+"/", nil)
	if err != nil {
		return err
	}
	resp, err := c.Do(r)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// stub answers at once.
type stub struct{}

func (stub) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r, Header: http.Header{},
		ContentLength: 2, Body: io.NopCloser(strings.NewReader("ok")),
	}, nil
}

package peers

import (
	"fmt"
	"io"
	"net/http"
	"strings"
)

// stub answers every request at once, as net/http's Transport would: with a body of its own.
type stub struct{}

func (stub) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r, Header: http.Header{},
		ContentLength: int64(len(answer)), Body: io.NopCloser(strings.NewReader(answer)),
	}, nil
}

// answer is JSON, which kratos decodes where middleware runs.
const answer = "{}"

// request is what each caller sends, again and again.
func request() *http.Request {
	r, err := http.NewRequest(http.MethodGet, "http://"+service+"/", nil) //nolint:noctx // each call has its own
	if err != nil {
		panic(err) // a constant
	}
	return r
}

// caller makes a Caller of a func that sends a request: the answer is read and closed.
func caller(do func(*http.Request) (*http.Response, error)) func() func() error {
	return func() func() error {
		r := request()
		return func() error {
			resp, err := do(r)
			if err != nil {
				return err
			}
			return drain(resp)
		}
	}
}

func drain(resp *http.Response) error {
	defer resp.Body.Close() //nolint:errcheck // of a string
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	n, err := io.Copy(io.Discard, resp.Body)
	if err == nil && n != int64(len(answer)) {
		err = fmt.Errorf("%d bytes of %d", n, len(answer))
	}
	return err
}

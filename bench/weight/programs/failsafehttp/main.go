// Command failsafehttp calls a service through failsafe-go: retry, breaker, timeout. It discovers nothing.
package main

import (
	"fmt"
	"net/http"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/failsafe-go/failsafe-go/failsafehttp"
	"github.com/failsafe-go/failsafe-go/timeout"
)

func main() {
	client := &http.Client{Transport: failsafehttp.NewRoundTripper(nil,
		failsafehttp.NewRetryPolicyBuilder().Build(), circuitbreaker.NewWithDefaults[*http.Response](), timeout.New[*http.Response](time.Second))}
	resp, err := client.Get("http://127.0.0.1:1/")
	fmt.Println(resp, err)
}

// Command retryablehttp calls a service through go-retryablehttp and gobreaker. It discovers nothing.
package main

import (
	"fmt"
	"net/http"

	"github.com/hashicorp/go-retryablehttp"
	"github.com/sony/gobreaker/v2"
)

func main() {
	breaker := gobreaker.NewCircuitBreaker[*http.Response](gobreaker.Settings{})
	resp, err := breaker.Execute(func() (*http.Response, error) { return retryablehttp.Get("http://127.0.0.1:1/") })
	fmt.Println(resp, err)
}

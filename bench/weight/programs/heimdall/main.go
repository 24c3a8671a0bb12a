// Command heimdall calls a service through heimdall and hystrix. It discovers nothing.
package main

import (
	"fmt"

	"github.com/gojek/heimdall/v7/hystrix"
)

func main() {
	resp, err := hystrix.NewClient(hystrix.WithCommandName("payments")).Get("http://127.0.0.1:1/", nil)
	fmt.Println(resp, err)
}

// Command nethttp calls a service as one does without any of the libraries.
package main

import (
	"fmt"
	"net/http"
)

func main() {
	resp, err := http.Get("http://127.0.0.1:1/")
	fmt.Println(resp, err)
}

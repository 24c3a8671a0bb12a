// Command gozerohttp calls a service over HTTP through go-zero. It discovers nothing.
package main

import (
	"context"
	"fmt"
	"net/http"

	"github.com/zeromicro/go-zero/rest/httpc"
)

func main() {
	resp, err := httpc.NewService("payments").Do(context.Background(), http.MethodGet, "http://127.0.0.1:1/", nil)
	fmt.Println(resp, err)
}

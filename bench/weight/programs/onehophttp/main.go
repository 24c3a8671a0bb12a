// Command onehophttp calls a service over HTTP through onehop.
package main

import (
	"fmt"

	"github.com/onehop-go/onehop"
	"github.com/onehop-go/onehop/httpclient"
)

func main() {
	hop, err := onehop.New()
	if err != nil {
		panic(err)
	}
	resp, err := httpclient.New(hop).Get("http://payments/")
	fmt.Println(resp, err, hop.Close())
}

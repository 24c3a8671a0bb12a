// Http calls an HTTP service by its name in Consul, three times.
//
//	CONSUL_HTTP_ADDR=127.0.0.1:8500 go run ./examples/http http://payments/v1/charges/42
package main

import (
	"fmt"
	"io"
	"log"
	"os"

	"github.com/onehop-go/onehop"
	"github.com/onehop-go/onehop/httpclient"
)

func main() {
	if err := run(os.Args[1], os.Stdout); err != nil {
		log.Fatal(err) // says what was tried: which instances, and what each answered
	}
}

func run(url string, out io.Writer) error {
	hop, err := onehop.New() // reads CONSUL_HTTP_ADDR, CONSUL_HTTP_TOKEN, ... and does no I/O yet
	if err != nil {
		return err
	}
	defer hop.Close() //nolint:errcheck // the program ends
	client := httpclient.New(hop)
	for range 3 {
		resp, err := client.Get(url)
		if err != nil {
			return err
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close() // read to its end
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%s %s", resp.Status, body)
	}
	return nil
}

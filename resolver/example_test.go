package resolver_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/onehop-go/onehop/resolver"
)

func ExampleParseTarget() {
	for _, s := range []string{
		"payments",
		"v2.payments.service.dc2.consul",
		"consul:///payments?tag=v2&dc=dc2",
		"consul:///my.service_7", // dots and underscores: only in this form
		"payments:8080",
	} {
		t, err := resolver.ParseTarget(s)
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(t)
	}
	// Output:
	// consul:///payments
	// consul:///payments?dc=dc2&tag=v2
	// consul:///payments?dc=dc2&tag=v2
	// consul:///my.service_7
	// target "payments:8080": a service has no port of its own: Consul knows it; leave the port away
}

// The default rule for which hosts of URLs are services.
func ExampleParseHost() {
	for _, host := range []string{"payments", "payments.service.consul", "localhost", "payments:8080", "example.com", "10.0.0.7"} {
		_, ok := resolver.ParseHost(host)
		fmt.Println(host, ok)
	}
	// Output:
	// payments true
	// payments.service.consul true
	// localhost false
	// payments:8080 false
	// example.com false
	// 10.0.0.7 false
}

// DiskCache goes around any Resolver. onehop.New has one around Consul already.
func ExampleDiskCache() {
	dir, err := os.MkdirTemp("", "onehop")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)           //nolint:errcheck // a temporary folder
	dir = filepath.Join(dir, "cache") // made with mode 0700

	r := resolver.DiskCache(resolver.Static{"payments": {"127.0.0.1:8080"}}, dir)
	r.Watch(context.Background(), resolver.Target{Service: "payments"}, func(s resolver.Snapshot, err error) {
		fmt.Println(s.Origin, len(s.Endpoints), err)
	})
	files, err := os.ReadDir(dir)
	fmt.Println(len(files), "file", err)
	// Output:
	// static 1 <nil>
	// 1 file <nil>
}

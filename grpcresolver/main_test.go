package grpcresolver

import (
	"os"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/grpc/resolver"
)

// imported is whether the import alone had registered the scheme.
var imported bool

func TestMain(m *testing.M) {
	if os.Getenv(serverProcess) != "" {
		runServerProcess()
		return
	}
	imported = resolver.Get(Scheme) != nil
	goleak.VerifyTestMain(m)
}

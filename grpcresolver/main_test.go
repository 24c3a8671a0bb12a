package grpcresolver

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if os.Getenv(serverProcess) != "" {
		runServerProcess()
		return
	}
	goleak.VerifyTestMain(m)
}

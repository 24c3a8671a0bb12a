//go:build !unix

package grpcresolver

import "time"

const serverProcess = "ONEHOP_TEST_GRPC_SERVER"

func runServerProcess() {}

func cpu() time.Duration { return 0 } // not measured here

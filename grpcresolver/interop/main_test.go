package interop

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/grpc/grpclog"
)

func TestMain(m *testing.M) {
	grpclog.SetLoggerV2(fatalPanics{grpclog.NewLoggerV2(quiet{}, quiet{}, quiet{})})
	goleak.VerifyTestMain(suite{m})
}

// suite is the tests of the package and the program they share.
type suite struct{ m *testing.M }

// Run implements goleak.TestingM.
func (s suite) Run() int {
	code := s.m.Run()
	if built != "" {
		_ = os.RemoveAll(built)
	}
	return code
}

// quiet drops what grpc-go logs.
type quiet struct{}

func (quiet) Write(b []byte) (int, error) { return len(b), nil }

// fatalPanics is a logger for grpc-go's interop cases, which tell a failure by grpclog's Fatal: that would end the
// process, and with it the names of the test and of the way it was on.
type fatalPanics struct{ grpclog.LoggerV2 }

// caseFailed is what a case said when it failed.
type caseFailed string

func (fatalPanics) Fatal(args ...any)   { panic(caseFailed(fmt.Sprint(args...))) }
func (fatalPanics) Fatalln(args ...any) { panic(caseFailed(fmt.Sprintln(args...))) }
func (fatalPanics) Fatalf(format string, args ...any) {
	panic(caseFailed(fmt.Sprintf(format, args...)))
}

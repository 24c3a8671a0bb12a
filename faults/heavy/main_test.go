package heavy

import (
	"fmt"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// row says which row of the suite's table t is, for the report.
func row(t *testing.T, number int, fault, measure string) {
	t.Helper()
	t.Attr("row", fmt.Sprint(number))
	t.Attr("fault", fault)
	t.Attr("measure", measure)
}

// figuref tells one measured number of a row, for the report.
func figuref(t *testing.T, format string, args ...any) {
	t.Helper()
	text := fmt.Sprintf(format, args...)
	t.Attr("figure", text)
	t.Log(text)
}

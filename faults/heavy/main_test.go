package heavy

import (
	"fmt"
	"testing"

	"go.uber.org/goleak"
)

// A link of toxiproxy 2.5.0 that is closed while a chunk is on its way may leave the goroutine that passes it on behind.
func TestMain(m *testing.M) {
	const toxics = "github.com/Shopify/toxiproxy/v2/toxics."
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction(toxics+"(*ToxicStub).Run"))
}

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

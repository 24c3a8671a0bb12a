package dialer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"
)

func TestTimeoutIsAskedOfTheWholeChain(t *testing.T) {
	rows := []struct {
		err  error
		want bool
	}{
		{nil, false},
		{errors.New("timeout"), false}, // a word is no type
		{os.ErrDeadlineExceeded, true},
		{context.DeadlineExceeded, true},
		{context.Canceled, false},
		{syscall.ETIMEDOUT, true},
		{syscall.ECONNREFUSED, false},
		{fmt.Errorf("dial: %w", syscall.ETIMEDOUT), true},
		{errors.Join(errors.New("first"), context.DeadlineExceeded), true},
	}
	for _, row := range rows {
		if got := Timeout(row.err); got != row.want {
			t.Errorf("Timeout(%v) = %v", row.err, got)
		}
	}
}

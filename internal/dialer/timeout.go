package dialer

import "errors"

// Timeout says whether err calls itself a timeout, as net.Error does, wherever it stands in a chain.
func Timeout(err error) bool {
	t, ok := errors.AsType[interface {
		error
		Timeout() bool
	}](err)
	return ok && t.Timeout()
}

//go:build !linux

package dialer

import "syscall"

// setUserTimeout does nothing where the option is unknown; the keepalive finds a vanished peer.
func setUserTimeout(string, string, syscall.RawConn) error { return nil }

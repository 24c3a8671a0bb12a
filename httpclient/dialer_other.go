//go:build !linux

package httpclient

import "syscall"

// setUserTimeout does nothing: TCP_USER_TIMEOUT is Linux's; elsewhere the keepalive alone finds a vanished peer.
func setUserTimeout(string, string, syscall.RawConn) error { return nil }

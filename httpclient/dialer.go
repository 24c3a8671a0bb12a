package httpclient

import (
	"net"
	"time"
)

const (
	// userTimeout ends a connection whose sent data has not been acknowledged for so long: a peer that vanished (RFC 5482).
	userTimeout = 10 * time.Second
	// The keepalive finds a vanished peer while nothing is being sent: 5 s + 2 x 4 s.
	keepAliveIdle     = 5 * time.Second
	keepAliveInterval = 4 * time.Second
	keepAliveCount    = 2
)

// defaultDialer is used where the base transport brings no dialer of its own. It has no timeout: connect_timeout is the
// policy's.
var defaultDialer = &net.Dialer{
	KeepAliveConfig: net.KeepAliveConfig{
		Enable:   true,
		Idle:     keepAliveIdle,
		Interval: keepAliveInterval,
		Count:    keepAliveCount,
	},
	Control: setUserTimeout,
}

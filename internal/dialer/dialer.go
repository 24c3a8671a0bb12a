// Package dialer is the one way onehop opens connections to services: one that finds a vanished peer by itself.
package dialer

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

// Default has no timeout of its own: connect_timeout is the policy's, and comes with the context.
var Default = &net.Dialer{
	KeepAliveConfig: net.KeepAliveConfig{
		Enable:   true,
		Idle:     keepAliveIdle,
		Interval: keepAliveInterval,
		Count:    keepAliveCount,
	},
	Control: setUserTimeout,
}

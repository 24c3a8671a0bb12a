package httpclient_test

import (
	"net"
	"net/http"
	"net/http/httptrace"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/onehop-go/onehop/httpclient"
	"github.com/onehop-go/onehop/policy"
)

// A peer that vanishes is found within 15 s: by TCP_USER_TIMEOUT where data is under way, by keepalive where none is.
func TestVanishedPeersAreFound(t *testing.T) {
	addr := serve(t, func(http.ResponseWriter, *http.Request) {})
	c := httpclient.New(newHop(t, policy.Default(), addr))
	option := map[string]int{}
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
		raw, err := info.Conn.(*net.TCPConn).SyscallConn() //nolint:forcetypeassert // the dialer's own, unwrapped
		if err != nil {
			t.Error(err)
			return
		}
		err = raw.Control(func(fd uintptr) {
			for name, opt := range map[string]int{
				"user timeout": unix.TCP_USER_TIMEOUT, "idle": unix.TCP_KEEPIDLE, "interval": unix.TCP_KEEPINTVL, "count": unix.TCP_KEEPCNT,
			} {
				v, err := unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, opt)
				if err != nil {
					t.Error(name, err)
				}
				option[name] = v
			}
		})
		if err != nil {
			t.Error(err)
		}
	}})
	if _, _, err := send(ctx, c, http.MethodGet, "http://svc/", nil); err != nil {
		t.Fatal(err)
	}
	silent := option["idle"] + option["interval"]*option["count"]
	if ms := option["user timeout"]; ms <= 0 || ms > 15_000 || silent <= 0 || silent > 15 {
		t.Errorf("found after %d ms under way, %d s when silent", ms, silent)
	}
}

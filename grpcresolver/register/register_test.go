package register

import (
	"net/url"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/onehop-go/onehop/resolver"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestTargetsSaySettings(t *testing.T) {
	for target, want := range map[string]struct {
		settings
		rest string
	}{
		"consul:///inventory":                                   {settings{}, "consul:///inventory"},
		"consul://agent:8500/inventory?tag=v2":                  {settings{address: "agent:8500"}, "consul://agent:8500/inventory?tag=v2"},
		"consul://agent/inventory?token=s3cret&dc=dc2":          {settings{address: "agent", token: "s3cret"}, "consul://agent/inventory?dc=dc2"},
		"consul://s3cret@agent/inventory":                       {settings{address: "agent", token: "s3cret"}, "consul://agent/inventory"},
		"consul:///i?require-consistent=true&allow-stale=false": {settings{consistency: resolver.Consistent}, "consul:///i"},
		"consul:///i?allow-stale=1&wait=10s":                    {settings{consistency: resolver.Stale}, "consul:///i?wait=10s"},
	} {
		u, err := url.Parse(target)
		if err != nil {
			t.Fatal(err)
		}
		s, rest, err := read(*u)
		if err != nil || s != want.settings || rest.String() != want.rest {
			t.Errorf("%s: %+v %s %v", target, s, rest.String(), err)
		}
	}
}

func TestWrongTargetsKeepTheirSecrets(t *testing.T) {
	for _, target := range []string{
		"consul://user:s3cret@agent/inventory",
		"consul://agent/inventory?token=s3cret&allow-stale=perhaps",
		"consul://agent/inventory?token=s3cret&allow-stale=true&require-consistent=true",
	} {
		u, err := url.Parse(target)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := read(*u); err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", target, err)
		}
	}
}

func TestOneClientForEachAgentAndToken(t *testing.T) {
	var c clients
	one, err := c.client(settings{address: "127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	again, _ := c.client(settings{address: "127.0.0.1:1"})
	other, _ := c.client(settings{address: "127.0.0.1:1", token: "t"})
	if one != again || one == other {
		t.Error("clients are not by agent and token")
	}
	for _, made := range c.all {
		_ = made.hop.Close()
	}
}

func FuzzRead(f *testing.F) {
	f.Add("consul://s3cret@agent/inventory?token=x&allow-stale=true")
	f.Add("consul://u:p@[::1]:8500/a%20b?query=true")
	f.Fuzz(func(t *testing.T, target string) {
		u, err := url.Parse(target)
		if err != nil {
			return
		}
		if _, rest, err := read(*u); err == nil && (rest.User != nil || rest.Query().Has("token")) {
			t.Errorf("%q keeps a secret: %s", target, rest.String())
		}
	})
}

package engine

import (
	"testing"
	"time"

	"github.com/onehop-go/onehop/internal/overload"
	"github.com/onehop-go/onehop/resolver"
)

func TestADatacentersBrakeIsItsOwn(t *testing.T) {
	u := NewUpstream(resolver.Target{Service: "pay"}, Env{Context: t.Context()})
	far := u.brakeOf(2)
	for now := time.Duration(0); !far.On() && now < 10*time.Second; now += 10 * time.Millisecond {
		far.Admit()
		far.Done(now, overload.Bad)
	}
	if !far.On() || u.brakeOf(2) != far {
		t.Error("the brake of the overloaded datacenter is off, or another one")
	}
	if u.brakeOf(0).On() || u.brakeOf(1).On() {
		t.Error("the overload of one datacenter brakes another")
	}
}

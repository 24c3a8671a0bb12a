package engine

import (
	"fmt"
	"testing"

	"github.com/onehop-go/onehop/internal/health"
	"github.com/onehop-go/onehop/policy"
	"github.com/onehop-go/onehop/resolver"
)

// TestTheZoneMayBeLearntLater: picks keep to the own zone from the moment it is known, and a new policy does not forget it.
func TestTheZoneMayBeLearntLater(t *testing.T) {
	inService(t, 0, nil, func(u *service) {
		t := u.t
		var list []resolver.Endpoint
		for i := range 6 {
			list = append(list, resolver.Endpoint{Addr: fmt.Sprintf("e%d:80", i), Zone: []string{"a", "b"}[i%2]})
		}
		u.Update("", health.Tier{Members: list})
		zone := ""
		u.env.Zone = func() string { return zone }
		at := func() map[string]int {
			seen := map[string]int{}
			for range 100 {
				p := get(good)
				u.call(t.Context(), p)
				seen[p.tries[0].Endpoint().Info().Zone]++
			}
			return seen
		}
		if seen := at(); seen["a"] == 0 || seen["b"] == 0 {
			t.Errorf("unknown: %v", seen)
		}
		zone = "b"
		u.Located()
		if seen := at(); seen["b"] != 100 {
			t.Errorf("known: %v", seen)
		}
		u.Configure(policy.Default())
		if seen := at(); seen["b"] != 100 {
			t.Errorf("after a new policy: %v", seen)
		}
		p := policy.Default()
		p.LoadBalancing.PreferLocalZone = false
		u.Configure(p)
		if seen := at(); seen["a"] == 0 {
			t.Errorf("not preferred: %v", seen)
		}
	})
}

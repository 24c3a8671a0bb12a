package consultest

import (
	"net/http"
	"testing"
)

func TestClusterElectsAnotherLeader(t *testing.T) {
	servers := StartCluster(t)
	servers[0].KVPut(t, "kept", "yes")
	var first *Agent
	Until(t, "a leader", func() bool { first = Leader(servers); return first != nil })
	first.Kill(t)
	var left []*Agent
	for _, s := range servers {
		if s != first {
			left = append(left, s)
		}
	}
	Until(t, "another leader", func() bool { l := Leader(left); return l != nil && l != first })
	first.Restart(t)
	if got := string(first.Do(t, http.MethodGet, "/v1/kv/kept?raw&consistent", nil)); got != "yes" {
		t.Errorf("after its restart the server has %q", got)
	}
}

func TestDatacentersKnowEachOther(t *testing.T) {
	dc1, dc2 := StartWAN(t)
	dc2.KVPut(t, "where", "dc2")
	if got := string(dc1.Do(t, http.MethodGet, "/v1/kv/where?raw&dc=dc2", nil)); got != "dc2" {
		t.Errorf("dc1 reads %q of dc2", got)
	}
}

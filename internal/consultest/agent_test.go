package consultest

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"strings"
	"testing"
)

func statusOf(t *testing.T, a *Agent, service string) []string {
	t.Helper()
	var entries []struct {
		Checks []struct{ CheckID, Status string }
	}
	if err := json.Unmarshal(a.Do(t, http.MethodGet, "/v1/health/service/"+service, nil), &entries); err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		for _, c := range e.Checks {
			all = append(all, c.CheckID+"="+c.Status)
		}
	}
	return all
}

func TestRegisteredServiceGoesThroughItsStates(t *testing.T) {
	a := Start(t)
	name := Name(t, "pay")
	id := a.Register(t, Service{Name: name, Port: 8080, Tags: []string{"v2"}, Weights: Weights{Passing: 3, Warning: 1}})
	has := func(want string) {
		t.Helper()
		Until(t, want, func() bool { return strings.Contains(strings.Join(statusOf(t, a, name), " "), want) })
	}
	has("service:" + id + "=passing")
	a.SetStatus(t, id, "warning")
	has("service:" + id + "=warning")
	a.Maintenance(t, id, true)
	has("_service_maintenance:" + id + "=critical")
	a.Maintenance(t, id, false)
	a.Deregister(t, id)
	Until(t, "no instance", func() bool { return len(statusOf(t, a, name)) == 0 })
}

func TestKeyIsWrittenAndDeleted(t *testing.T) {
	a := Start(t)
	key := "onehop/test/" + Name(t, "key")
	a.KVPut(t, key, "timeout: 1s")
	if got := string(a.Do(t, http.MethodGet, "/v1/kv/"+key+"?raw", nil)); got != "timeout: 1s" {
		t.Errorf("value %q", got)
	}
	a.KVDelete(t, key)
	_, err := a.call(context.Background(), http.MethodGet, "/v1/kv/"+key, nil)
	if status, ok := err.(*StatusError); !ok || status.Status != http.StatusNotFound { //nolint:errorlint // call returns it bare
		t.Errorf("after the delete: %v, want 404", err)
	}
}

func TestRestartKeepsThePorts(t *testing.T) {
	a := Start(t)
	a.Kill(t)
	if c, err := net.Dial("tcp", a.Addr); err == nil {
		_ = c.Close()
		t.Fatal("a killed agent accepts connections")
	}
	a.Restart(t)
	a.KVPut(t, "again", "yes")
	a.Pause(t)
	a.Resume(t)
	a.KVPut(t, "and", "again")
}

func TestDataSurvivesRestart(t *testing.T) {
	a := Start(t, WithDataDir(t.TempDir()))
	a.KVPut(t, "kept", "yes")
	name := Name(t, "pay")
	a.Register(t, Service{Name: name, Port: 8080})
	a.Restart(t)
	if got := string(a.Do(t, http.MethodGet, "/v1/kv/kept?raw", nil)); got != "yes" {
		t.Errorf("after the restart the key is %q", got)
	}
	Until(t, "the service is back", func() bool { return len(statusOf(t, a, name)) == 2 })
}

func TestACLDeniesWithoutToken(t *testing.T) {
	a := Start(t, WithACL())
	a.KVPut(t, "secret", "x")
	anonymous := Agent{Addr: a.Addr, http: a.http}
	if _, err := anonymous.call(context.Background(), http.MethodGet, "/v1/kv/secret", nil); err == nil || !strings.Contains(err.Error(), "403") {
		t.Errorf("read without token: %v, want 403", err)
	}
}

func TestDatacenterIsNamed(t *testing.T) {
	a := Start(t, WithDatacenter("east"))
	if got := string(a.Do(t, http.MethodGet, "/v1/catalog/datacenters", nil)); !strings.Contains(got, `"east"`) {
		t.Errorf("datacenters %s", got)
	}
}

// The environment's agent is taken as it is, described by itself, and left running.
func TestSharedAgentIsTakenAndLeft(t *testing.T) {
	own := Start(t)
	t.Setenv("CONSUL_HTTP_ADDR", own.Addr)
	t.Run("taken", func(t *testing.T) {
		shared := Start(t)
		if !shared.Shared() || shared.Addr != own.Addr || shared.DNSAddr != own.DNSAddr || shared.Version != own.Version || shared.Datacenter != "dc1" {
			t.Errorf("shared agent %+v, own %+v", shared, own)
		}
		shared.Register(t, Service{ID: "left-over", Name: "left-over", Port: 1})
	})
	if got := statusOf(t, own, "left-over"); len(got) != 0 {
		t.Errorf("a test's service stays in the shared agent: %v", got)
	}
	t.Run("refuses", func(t *testing.T) {
		t.Run("control", func(t *testing.T) { Start(t).Kill(t); t.Error("killed a shared agent") })
		t.Run("options", func(t *testing.T) { Start(t, WithACL()); t.Error("a shared agent passed for one with ACLs") })
	})
}

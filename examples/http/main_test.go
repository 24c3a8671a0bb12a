package main

import (
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/onehop-go/onehop"
	"github.com/onehop-go/onehop/internal/consultest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// environment is what a user of the example sets, and a disk cache that is no other test's.
func environment(t *testing.T) *consultest.Agent {
	t.Helper()
	agent := consultest.Start(t)
	t.Setenv("CONSUL_HTTP_ADDR", agent.Addr)
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	return agent
}

// No call is lost to an instance that is dead and still listed.
func TestExampleFindsTheLivingInstance(t *testing.T) {
	agent := environment(t)
	name := consultest.Name(t, "payments")
	consultest.StartService(t, agent, name, 2)[0].Kill(t)
	var out strings.Builder
	if err := run("http://"+name+"/v1/charges/42", &out); err != nil {
		t.Fatal(err)
	}
	if want := strings.Repeat("200 OK "+name+"-b\n", 3); out.String() != want {
		t.Errorf("printed %q, want %q", out.String(), want)
	}
}

func TestExampleSaysThatNobodyIsThere(t *testing.T) {
	environment(t)
	name := consultest.Name(t, "nowhere")
	err := run("http://"+name+"/", new(strings.Builder))
	if onehop.ReasonOf(err) != onehop.ReasonNoEndpoints || !strings.Contains(err.Error(), name) {
		t.Errorf("error %v, want no_endpoints of %s", err, name)
	}
}

package consultest

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
)

// StartCluster gives t three servers of one datacenter, which elect a leader among them and lose it when it is killed.
// Killed servers come back with their data. It skips t on a shared agent.
func StartCluster(t TB) []*Agent {
	t.Helper()
	const size = 3
	blocks := make([]*ports, size)
	var join []string
	for i := range blocks {
		p, err := claimPorts()
		must(t, err)
		t.Cleanup(p.release)
		blocks[i] = p
		join = append(join, "-retry-join", p.addr(serfLAN))
	}
	servers := make([]*Agent, size)
	for i, p := range blocks {
		c := config{server: slices.Concat(serverArgs(tempDir(t)), []string{"-bootstrap-expect", strconv.Itoa(size), "-retry-interval", "1s"}, join)}
		servers[i] = ownAgent(t, p, &c)
		must(t, servers[i].launch())
	}
	for _, s := range servers {
		must(t, s.ready(context.Background()))
	}
	return servers
}

// StartWAN gives t a dev agent in each of two datacenters, dc1 and dc2, that know each other.
// It skips t on a shared agent.
func StartWAN(t TB) (dc1, dc2 *Agent) {
	t.Helper()
	primary := WithArgs("-hcl", `primary_datacenter = "dc1"`)
	dc1 = Start(t, WithDatacenter("dc1"), primary)
	dc2 = Start(t, WithDatacenter("dc2"), primary, WithArgs("-retry-join-wan", dc1.ports.addr(serfWAN), "-retry-interval-wan", "1s"))
	for _, a := range []*Agent{dc1, dc2} {
		Until(t, "both datacenters know each other", func() bool {
			var all []string
			err := json.Unmarshal(a.Do(t, http.MethodGet, "/v1/catalog/datacenters", nil), &all)
			return err == nil && len(all) == 2
		})
	}
	return dc1, dc2
}

// Leader is the one of servers that leads, as the first that answers says; nil: none does.
func Leader(servers []*Agent) *Agent {
	for _, s := range servers {
		ctx, cancel := bound()
		body, err := s.call(ctx, http.MethodGet, "/v1/status/leader", nil) // "127.0.0.1:port", its port for servers
		cancel()
		if err != nil {
			continue
		}
		for _, l := range servers {
			if strings.Trim(string(body), "\"\n") == l.ports.addr(serverRPC) {
				return l
			}
		}
	}
	return nil
}

// ownAgent prepares an agent of our own on p, killed when t ends.
func ownAgent(t TB, p *ports, c *config) *Agent {
	t.Helper()
	if os.Getenv("CONSUL_HTTP_ADDR") != "" {
		t.Skipf("a cluster is needed: %v", errShared)
	}
	progress, closeProgress := terminalOr(os.Stderr)
	defer closeProgress()
	path, version, err := binary(context.Background(), progress)
	must(t, err)
	a := newAgent(path, version, p, c)
	t.Cleanup(func() { a.end(t) })
	return a
}

// tempDir is a folder removed when t ends, after the process that writes there.
func tempDir(t TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "onehop-consul-*")
	must(t, err)
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Logf("%v", err)
		}
	})
	return dir
}

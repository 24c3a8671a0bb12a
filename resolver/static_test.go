package resolver

import (
	"strings"
	"testing"
)

func TestStatic(t *testing.T) {
	for _, row := range []struct {
		name  string
		set   Static
		addrs string
		err   string
	}{
		{"known", Static{"a": {"127.0.0.1:80", "[::1]:443", "host.example:8080"}}, "127.0.0.1:80 [::1]:443 host.example:8080", ""},
		{"unknown", Static{"b": {"127.0.0.1:80"}}, "", ""},
		{"nil", nil, "", ""},
		{"several addresses", Static{"a": {"10.0.0.7:80,[fd00::7]:80", "host:80"}}, "10.0.0.7:80,[fd00::7]:80 host:80", ""},
		{"one of several is none", Static{"a": {"10.0.0.7:80,fd00::7"}}, "", `"fd00::7" is not "host:port"`},
		{"none of several", Static{"a": {","}}, "", `"" is not "host:port"`},
		{"no port", Static{"a": {"127.0.0.1:80", "host"}}, "", `"host" is not "host:port"`},
		{"no host", Static{"a": {":80"}}, "", `":80" is not "host:port"`},
		{"bare IPv6", Static{"a": {"::1"}}, "", `"::1" is not "host:port"`},
		{"port too high", Static{"a": {"host:65536"}}, "", `has port "65536"`},
		{"port zero", Static{"a": {"127.0.0.1:0"}}, "", `has port "0"`},
	} {
		t.Run(row.name, func(t *testing.T) {
			var got Snapshot
			var gotErr error
			published := 0
			row.set.Watch(t.Context(), Target{Service: "a"}, func(s Snapshot, err error) { got, gotErr = s, err; published++ })
			var addrs []string
			for _, e := range got.Endpoints {
				addrs = append(addrs, strings.Join(append([]string{e.Addr}, e.Alternates...), ","))
			}
			if published != 1 || strings.Join(addrs, " ") != row.addrs {
				t.Errorf("published %d times, %v; want once, %s", published, addrs, row.addrs)
			}
			if row.err == "" && gotErr != nil || row.err != "" && (gotErr == nil || !strings.Contains(gotErr.Error(), row.err)) {
				t.Errorf("error %v, want %q", gotErr, row.err)
			}
		})
	}
}

package consulapi

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/onehop-go/onehop/consul"
)

func TestResolve(t *testing.T) {
	for name, row := range map[string]struct {
		agent consul.Agent
		env   map[string]string
		want  func(settings) bool
	}{
		"defaults": {want: func(s settings) bool {
			return s.network == "tcp" && s.dial == "127.0.0.1:8500" && s.base == "http://127.0.0.1:8500" && !s.tls && s.wait == 55*time.Second && !s.insecure
		}},
		"address of the environment": {env: map[string]string{"CONSUL_HTTP_ADDR": "consul.example:8501"}, want: func(s settings) bool {
			return s.dial == "consul.example:8501" && s.base == "http://consul.example:8501"
		}},
		"code before environment": {consul.Agent{Address: "a:1"}, map[string]string{"CONSUL_HTTP_ADDR": "b:2"}, func(s settings) bool {
			return s.dial == "a:1"
		}},
		"https": {env: map[string]string{"CONSUL_HTTP_ADDR": "https://consul.example"}, want: func(s settings) bool {
			return s.tls && s.dial == "consul.example:443" && s.base == "https://consul.example:443" && s.host == "consul.example"
		}},
		"http with a path": {agent: consul.Agent{Address: "http://proxy/consul/"}, want: func(s settings) bool {
			return s.dial == "proxy:80" && s.base == "http://proxy:80/consul"
		}},
		"IPv6": {agent: consul.Agent{Address: "[::1]:8500"}, want: func(s settings) bool { return s.dial == "[::1]:8500" && s.host == "::1" }},
		"unix socket": {agent: consul.Agent{Address: "unix:///run/consul.sock"}, want: func(s settings) bool {
			return s.network == "unix" && s.dial == "/run/consul.sock" && !s.tls
		}},
		"SSL variable": {env: map[string]string{"CONSUL_HTTP_SSL": "true", "CONSUL_HTTP_ADDR": "http://c:8501"}, want: func(s settings) bool {
			return s.tls && s.base == "https://c:8501"
		}},
		"no verifying": {env: map[string]string{"CONSUL_HTTP_SSL": "1", "CONSUL_HTTP_SSL_VERIFY": "false"}, want: func(s settings) bool {
			return s.tls && s.insecure
		}},
		"TLS files": {env: map[string]string{"CONSUL_HTTP_SSL": "1", "CONSUL_CACERT": "ca", "CONSUL_CAPATH": "cas",
			"CONSUL_CLIENT_CERT": "c", "CONSUL_CLIENT_KEY": "k", "CONSUL_TLS_SERVER_NAME": "n"},
			want: func(s settings) bool {
				return s.caFile == "ca" && s.caPath == "cas" && s.certFile == "c" && s.keyFile == "k" && s.server == "n"
			}},
		"basic auth": {env: map[string]string{"CONSUL_HTTP_AUTH": "u:p:q"}, want: func(s settings) bool {
			return s.user == "u" && s.password == "p:q"
		}},
		"token": {env: map[string]string{"CONSUL_HTTP_TOKEN": "t"}, want: func(s settings) bool {
			return s.token == "t" && s.tokenFile == ""
		}},
		"token file wins": {env: map[string]string{"CONSUL_HTTP_TOKEN": "t", "CONSUL_HTTP_TOKEN_FILE": "f"}, want: func(s settings) bool {
			return s.token == "" && s.tokenFile == "f"
		}},
		"code's token wins": {consul.Agent{Token: "c"}, map[string]string{"CONSUL_HTTP_TOKEN": "t", "CONSUL_HTTP_TOKEN_FILE": "f"}, func(s settings) bool {
			return s.token == "c" && s.tokenFile == ""
		}},
		"code's file wins": {consul.Agent{Token: "c", TokenFile: "cf"}, map[string]string{"CONSUL_HTTP_TOKEN": "t"}, func(s settings) bool {
			return s.token == "" && s.tokenFile == "cf"
		}},
		"wait": {agent: consul.Agent{Wait: time.Minute}, want: func(s settings) bool { return s.wait == time.Minute }},
		"namespace of Consul": {env: map[string]string{"CONSUL_NAMESPACE": "n", "CONSUL_PARTITION": "p"}, want: func(s settings) bool {
			return s.namespace == "n" && s.partition == "p"
		}},
	} {
		s, err := resolve(row.agent, func(k string) string { return row.env[k] })
		if err != nil || !row.want(s) {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
	}
}

func TestResolveSaysWhatIsWrong(t *testing.T) {
	for name, row := range map[string]struct {
		agent consul.Agent
		env   map[string]string
		want  string
	}{
		"scheme":        {agent: consul.Agent{Address: "ftp://a"}, want: `Address: unknown scheme "ftp"; want http, https or unix`},
		"from env":      {env: map[string]string{"CONSUL_HTTP_ADDR": "ftp://a"}, want: `CONSUL_HTTP_ADDR: unknown scheme "ftp"`},
		"port":          {agent: consul.Agent{Address: "a:99999"}, want: `port "99999"; want 1 to 65535`},
		"port word":     {agent: consul.Agent{Address: "a:http"}, want: `"a:http" is no address`},
		"no host":       {agent: consul.Agent{Address: "http://"}, want: "is no address"},
		"bare IPv6":     {agent: consul.Agent{Address: "::1"}, want: "is no address"},
		"relative unix": {agent: consul.Agent{Address: "unix://run/x"}, want: "is not an absolute path"},
		"query":         {agent: consul.Agent{Address: "http://a:1?x"}, want: "has a query"},
		"credentials":   {agent: consul.Agent{Address: "http://hush:hush@a:1"}, want: "holds credentials"},
		"ssl":           {env: map[string]string{"CONSUL_HTTP_SSL": "maybe"}, want: `CONSUL_HTTP_SSL is "maybe"; want true or false`},
		"verify":        {env: map[string]string{"CONSUL_HTTP_SSL_VERIFY": "maybe"}, want: `CONSUL_HTTP_SSL_VERIFY is "maybe"`},
		"key missing":   {env: map[string]string{"CONSUL_CLIENT_CERT": "c"}, want: "only one is set"},
		"token":         {agent: consul.Agent{Token: "hush\n"}, want: "white space"},
		"datacenter":    {agent: consul.Agent{Datacenter: "d/c"}, want: `Datacenter is "d/c"`},
		"wait":          {agent: consul.Agent{Wait: time.Hour}, want: "Wait is 1h0m0s; want 0 (55s) to 1m0s"},
		"negative wait": {agent: consul.Agent{Wait: -1}, want: "Wait is -1ns"},
		"TLS on http":   {agent: consul.Agent{CAFile: "ca", Address: "a:1"}, want: "a:1 is not asked over TLS; write https://"},
	} {
		_, err := resolve(row.agent, func(k string) string { return row.env[k] })
		if err == nil || !strings.Contains(err.Error(), row.want) || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: error %v, want %q", name, err, row.want)
		}
	}
	_, err := resolve(consul.Agent{Wait: -1, Datacenter: " "}, func(string) string { return "" })
	if err == nil || !strings.Contains(err.Error(), "Wait") || !strings.Contains(err.Error(), "Datacenter") {
		t.Errorf("two faults: %v", err)
	}
}

func TestAcquireSharesEqualAgents(t *testing.T) {
	t.Setenv("CONSUL_HTTP_ADDR", "127.0.0.1:1")
	a, b := acquire(t, consul.Agent{}), acquire(t, consul.Agent{Address: "127.0.0.1:1"})
	if a != b {
		t.Error("equal agents have two clients")
	}
	if c := acquire(t, consul.Agent{Token: "t"}); c == a {
		t.Error("agents with different tokens share a client")
	}
	x, err := Acquire(consul.Agent{Address: "127.0.0.1:2"})
	if err != nil {
		t.Fatal(err)
	}
	x.Release()
	x.Release() // once too often harms nobody
	if y := acquire(t, consul.Agent{Address: "127.0.0.1:2"}); y == x {
		t.Error("a released client is given out again")
	}
	if err := Check(consul.Agent{Address: "ftp://x"}); err == nil {
		t.Error("Check finds nothing wrong")
	}
	if _, err := Acquire(consul.Agent{Address: "ftp://x"}); err == nil {
		t.Error("Acquire finds nothing wrong")
	}
}

func TestTokenFileIsReadAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	source := tokenSource{file: path}
	if _, err := source.get(); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("no file: %v", err)
	}
	step := time.Now()
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		step = step.Add(time.Second) // file systems may have coarse times
		if err := os.Chtimes(path, step, step); err != nil {
			t.Fatal(err)
		}
	}
	for _, row := range []struct{ text, want string }{
		{"one\n", "one"}, {" two ", "two"}, {"", "two"}, {"a b", "two"}, {"three", "three"},
	} {
		write(row.text)
		if got, err := source.get(); err != nil || got != row.want {
			t.Errorf("file %q: %q, %v; want %q", row.text, got, err, row.want)
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if got, err := source.get(); err != nil || got != "three" {
		t.Errorf("removed file: %q, %v", got, err)
	}
}

func FuzzParseAddress(f *testing.F) {
	for _, s := range []string{"127.0.0.1:8500", "https://a:1/p", "unix:///x", "[::1]:80", "http://u:p@h", "://", "a:b:c"} {
		f.Add(s, false)
		f.Add(s, true)
	}
	f.Fuzz(func(t *testing.T, text string, ssl bool) {
		a, err := parseAddress(text, ssl)
		if err != nil {
			return
		}
		if a.dial == "" || a.base == "" || ssl && !a.tls {
			t.Errorf("%q gives %+v", text, a)
		}
		if _, err := newClient(settings{address: a}); err != nil {
			t.Errorf("%q gives an address that consul/api refuses: %v", text, err)
		}
	})
}

package consul

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestAgentString(t *testing.T) {
	for in, want := range map[string]string{
		"":                         "consul agent of the environment",
		"127.0.0.1:8500":           "127.0.0.1:8500",
		"https://c:8501":           "https://c:8501",
		"https://u:p@c:8501/pre@x": "https://c:8501/pre@x",
		"u:p@c:8501":               "c:8501",
		"unix:///run/consul.sock":  "unix:///run/consul.sock",
	} {
		if got := (Agent{Address: in}).String(); got != want {
			t.Errorf("Agent{%q} prints %q, want %q", in, got, want)
		}
	}
}

func TestAgentLeaksNoToken(t *testing.T) {
	a := Agent{Address: "127.0.0.1:8500", Token: "hush"}
	within := struct{ A Agent }{a}
	text, err := json.Marshal(within)
	if err != nil {
		t.Fatal(err)
	}
	var logged bytes.Buffer
	slog.New(slog.NewTextHandler(&logged, nil)).Info("x", "agent", a)
	slog.New(slog.NewJSONHandler(&logged, nil)).Info("x", "agent", a, "within", within)
	for _, got := range []string{
		a.String(), fmt.Sprintf("%v %+v %#v %s %q %x", a, a, a, a, a, a), fmt.Sprintf("%v %+v %#v", within, within, &within),
		string(text), logged.String(),
	} {
		if strings.Contains(got, "hush") || strings.Contains(got, "68757368") {
			t.Errorf("the token shows in %s", got)
		}
		if !strings.Contains(got, "127.0.0.1:8500") {
			t.Errorf("no address in %s", got)
		}
	}
}

package consultest

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Service is an instance to register with the agent.
type Service struct {
	ID      string // "": Name and Port
	Name    string
	Address string // "": 127.0.0.1
	Port    int
	Tags    []string
	Meta    map[string]string
	Weights Weights
	Check   Check
}

// Weights of an instance, while passing and while warning. Zero: Consul's own, 1 and 1.
type Weights struct{ Passing, Warning int }

// Check is how Consul judges an instance. The zero value is a TTL check that passes until SetStatus says otherwise.
type Check struct {
	HTTP     string        // a URL Consul asks
	TCP      string        // an address Consul dials
	Interval time.Duration // of HTTP and TCP; 0: 1s
	Status   string        // at first; "": passing
	None     bool          // no check at all
}

// StatusError is an answer of Consul that is not 200.
type StatusError struct {
	Method, Path string
	Status       int
	Body         string
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("consul: %s %s: %d %s", e.Method, e.Path, e.Status, strings.TrimSpace(e.Body))
}

// apiClient makes a connection per request: none idles past a test's end, none survives an agent's restart.
func apiClient() *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
}

// call is one request to the HTTP API. A body that is no []byte or string is sent as JSON.
func (a *Agent) call(ctx context.Context, method, path string, body any) ([]byte, error) {
	content, err := encode(body)
	if err != nil {
		return nil, fmt.Errorf("consul: %s %s: %w", method, path, err)
	}
	req, err := http.NewRequestWithContext(ctx, method, a.url(path), bytes.NewReader(content))
	if err != nil {
		return nil, err
	}
	if a.Token != "" {
		req.Header.Set("X-Consul-Token", a.Token)
	}
	resp, err := a.http.Do(req)
	if err != nil {
		return nil, err
	}
	answer, err := io.ReadAll(resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return nil, fmt.Errorf("consul: %s %s: %w", method, path, err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, &StatusError{Method: method, Path: path, Status: resp.StatusCode, Body: string(answer)}
	}
	return answer, nil
}

func (a *Agent) url(path string) string {
	if strings.Contains(a.Addr, "://") {
		return strings.TrimSuffix(a.Addr, "/") + path
	}
	return "http://" + a.Addr + path
}

func encode(body any) ([]byte, error) {
	switch b := body.(type) {
	case nil:
		return nil, nil
	case []byte:
		return b, nil
	case string:
		return []byte(b), nil
	}
	return json.Marshal(body)
}

// RegisterService registers s and returns its ID. A registration with the ID of another replaces it.
func (a *Agent) RegisterService(ctx context.Context, s Service) (string, error) {
	id := cmp.Or(s.ID, s.Name+"-"+strconv.Itoa(s.Port))
	r := map[string]any{"ID": id, "Name": s.Name, "Address": cmp.Or(s.Address, "127.0.0.1"), "Port": s.Port, "Tags": s.Tags, "Meta": s.Meta}
	if s.Weights != (Weights{}) {
		r["Weights"] = s.Weights
	}
	if !s.Check.None {
		r["Check"] = s.Check.registration(id)
	}
	_, err := a.call(ctx, http.MethodPut, "/v1/agent/service/register", r)
	return id, err
}

// registration is the check as the agent's API takes it.
func (c Check) registration(service string) map[string]any {
	r := map[string]any{"CheckID": "service:" + service, "Status": cmp.Or(c.Status, "passing")}
	switch {
	case c.HTTP != "":
		r["HTTP"] = c.HTTP
	case c.TCP != "":
		r["TCP"] = c.TCP
	default:
		r["TTL"] = "24h" // never expires within a test
		return r
	}
	r["Interval"], r["Timeout"] = cmp.Or(c.Interval, time.Second).String(), "1s"
	return r
}

// DeregisterService takes an instance out of the catalogue.
func (a *Agent) DeregisterService(ctx context.Context, id string) error {
	_, err := a.call(ctx, http.MethodPut, "/v1/agent/service/deregister/"+url.PathEscape(id), nil)
	return err
}

// PutKey writes a key of Consul KV.
func (a *Agent) PutKey(ctx context.Context, key, value string) error {
	_, err := a.call(ctx, http.MethodPut, "/v1/kv/"+key, value)
	return err
}

// DeleteKey deletes a key of Consul KV.
func (a *Agent) DeleteKey(ctx context.Context, key string) error {
	_, err := a.call(ctx, http.MethodDelete, "/v1/kv/"+key, nil)
	return err
}

// describe learns what a shared agent says about itself. It may lack the right agent:read: then less is known.
func (a *Agent) describe(ctx context.Context) {
	body, err := a.call(ctx, http.MethodGet, "/v1/agent/self", nil)
	if err != nil {
		return
	}
	var self struct {
		Config      struct{ Datacenter, Version string }
		DebugConfig struct{ DNSAddrs []string }
	}
	if json.Unmarshal(body, &self) != nil {
		return
	}
	a.Datacenter, a.Version = self.Config.Datacenter, self.Config.Version
	for _, addr := range self.DebugConfig.DNSAddrs { // "tcp://127.0.0.1:8600"
		u, err := url.Parse(addr)
		if err == nil && net.ParseIP(u.Hostname()) != nil {
			a.DNSAddr = u.Host
			return
		}
	}
}

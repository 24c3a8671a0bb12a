package consulapi

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
)

// address is where an agent listens.
type address struct {
	network, dial string // of the dialer: "tcp" or "unix"
	base          string // of requests: scheme, host and path prefix
	host          string // without port: the name in the agent's certificate
	tls           bool
	shown         string // for people
}

// parseAddress reads "host:port", "http://...", "https://..." or "unix:///path". ssl asks for TLS whatever the scheme:
// Consul's tools never go back to plain http once CONSUL_HTTP_SSL is set.
func parseAddress(text string, ssl bool) (address, error) {
	scheme, rest, found := strings.Cut(text, "://")
	if !found {
		scheme, rest = "http", text
	}
	scheme = strings.ToLower(scheme)
	switch scheme {
	case "unix":
		return unixAddress(rest, ssl)
	case "http", "https":
		return tcpAddress(scheme, rest, ssl)
	default:
		return address{}, fmt.Errorf("unknown scheme %q; want http, https or unix", scheme)
	}
}

func unixAddress(path string, ssl bool) (address, error) {
	if !strings.HasPrefix(path, "/") {
		return address{}, fmt.Errorf("unix socket %q is not an absolute path; want unix:///run/consul.sock", path)
	}
	a := address{network: "unix", dial: path, base: "http://localhost", host: "localhost", tls: ssl, shown: "unix://" + path}
	if ssl {
		a.base = "https://localhost"
	}
	return a, nil
}

func tcpAddress(scheme, rest string, ssl bool) (address, error) {
	if ssl {
		scheme = "https"
	}
	// Without the text of url.Parse's error: it would repeat credentials.
	u, err := url.Parse(scheme + "://" + rest)
	switch {
	case strings.Contains(rest, "@"):
		return address{}, errors.New("holds credentials; give them as Token or in CONSUL_HTTP_AUTH")
	case err != nil || u.Hostname() == "":
		return address{}, fmt.Errorf("%q is no address; want for example 127.0.0.1:8500 or https://consul.example:8501", rest)
	case u.RawQuery != "" || u.Fragment != "" || u.ForceQuery:
		return address{}, fmt.Errorf("%q has a query or a fragment; want scheme, host, port and at most a path", rest)
	}
	port := u.Port()
	switch {
	case port == "" && scheme == "https":
		port = "443"
	case port == "":
		port = "80"
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return address{}, fmt.Errorf("port %q; want 1 to 65535", port)
	}
	dial := net.JoinHostPort(u.Hostname(), port)
	base := scheme + "://" + dial + strings.TrimRight(u.Path, "/")
	a := address{network: "tcp", dial: dial, base: base, host: u.Hostname(), tls: scheme == "https", shown: dial}
	if a.tls {
		a.shown = base
	}
	return a, nil
}

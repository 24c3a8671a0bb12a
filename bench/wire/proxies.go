package wire

import (
	"context"
	"path/filepath"
)

var nginx = proxyKind{
	name: "nginx", find: onPath("nginx"), version: saysItself,
	args: func(dir string) []string {
		return []string{"-p", dir, "-c", filepath.Join(dir, "nginx.conf"), "-e", "stderr"}
	},
	files: map[string]string{"nginx.conf": `
{{if .Root}}user root;{{end}}
daemon off;
worker_processes 2;
pid {{.Dir}}/pid;
error_log stderr error;
events { worker_connections 4096; }
http {
	access_log off;
	client_body_temp_path {{.Dir}}/client;
	proxy_temp_path {{.Dir}}/proxy;
	fastcgi_temp_path {{.Dir}}/fastcgi;
	uwsgi_temp_path {{.Dir}}/uwsgi;
	scgi_temp_path {{.Dir}}/scgi;
	keepalive_requests 100000000;
	keepalive_timeout 1h;
	upstream instances {
		{{range .Addrs}}server {{.}};
		{{end}}keepalive 256;
		keepalive_requests 100000000;
		keepalive_timeout 1h;
	}
	server {
		listen {{.Addr}};
		location / {
			proxy_pass http://instances;
			proxy_http_version 1.1;
			proxy_set_header Connection "";
		}
	}
}
`},
}

// haproxy's health checks ask an instance each second and, beside that, count its bad answers: what it has against a
// failing instance whose check passes. It repeats what onehop's defaults repeat: calls that are safe to send twice.
var haproxy = proxyKind{
	name: "haproxy", find: onPath("haproxy"), version: saysItself,
	args: func(dir string) []string { return []string{"-db", "-f", filepath.Join(dir, "haproxy.cfg")} },
	files: map[string]string{"haproxy.cfg": `
global
	nbthread 2
	maxconn 4096
defaults
	mode http
	option http-keep-alive
	http-reuse always
	timeout connect 1s
	timeout client 1h
	timeout server 1h
	timeout http-keep-alive 1h
frontend front
	bind {{.Addr}}
	default_backend instances
backend instances
	{{if .Checks}}balance leastconn
	option httpchk GET ` + healthPath + `
	retries 3
	option redispatch 1
	retry-on conn-failure empty-response 502 503 504
	default-server check inter 1s fall 2 rise 2 observe layer7 error-limit 10 on-error mark-down
	{{else}}balance roundrobin
	{{end}}{{range $i, $addr := .Addrs}}server s{{$i}} {{$addr}}
	{{end}}
`},
}

// haproxyGRPC is haproxy for gRPC: HTTP/2 with prior knowledge on both sides.
var haproxyGRPC = proxyKind{
	name: "haproxy", find: haproxy.find, version: saysItself, args: haproxy.args,
	files: map[string]string{"haproxy.cfg": `
global
	nbthread 2
	maxconn 4096
defaults
	mode http
	http-reuse always
	timeout connect 1s
	timeout client 1h
	timeout server 1h
frontend front
	bind {{.Addr}} proto h2
	default_backend instances
backend instances
	balance roundrobin
	{{range $i, $addr := .Addrs}}server s{{$i}} {{$addr}} proto h2
	{{end}}
`},
}

// traefik takes its instances from a file, as the others do.
var traefik = proxyKind{
	name: "Traefik", find: findTraefik, routes: true,
	version: func(context.Context, string) string { return traefikVersion },
	args:    func(dir string) []string { return []string{"--configfile=" + filepath.Join(dir, "traefik.yaml")} },
	files: map[string]string{
		"traefik.yaml": `
global: {checkNewVersion: false, sendAnonymousUsage: false}
log: {level: ERROR}
entryPoints: {web: {address: "{{.Addr}}", transport: {keepAliveMaxRequests: 0}}}
serversTransport: {maxIdleConnsPerHost: 256}
providers: {file: {filename: "{{.Dir}}/routes.yaml", watch: false}}
`,
		"routes.yaml": `
http:
  routers: {all: {rule: "PathPrefix(` + "`/`" + `)", service: instances}}
  services:
    instances:
      loadBalancer:
        servers:
          {{range .Addrs}}- {url: "http://{{.}}"}
          {{end}}
`,
	},
}

package wire

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"text/template"
	"time"

	"github.com/onehop-go/onehop/internal/consultest"
)

// proxyKind is a proxy as it is started here. Each has two threads or workers, as there are two cores in the reference
// machine; keeps its connections to the instances, as many as there are calls; writes no access log; and takes the
// instances in turn.
type proxyKind struct {
	name    string
	find    func(ctx context.Context, c *config) (path, lack string) // lack: why it is not here, and how to get it
	version func(ctx context.Context, path string) string
	args    func(dir string) []string
	files   map[string]string // templates over proxyConfig, by name
	routes  bool              // it listens before it knows its routes: ready is who answers 200
}

// proxyConfig is what the templates are told.
type proxyConfig struct {
	Addr   string // where to listen
	Addrs  []string
	Dir    string
	Root   bool
	Checks bool // of health, and what goes with them
}

// proxy is a running one.
type proxy struct {
	addr    string
	dir     string
	proc    *consultest.Process
	release func()
}

// start runs the proxy at path before addrs and waits until it does its work. The caller ends it with stop.
func (k *proxyKind) start(ctx context.Context, path string, addrs []string, checks bool) (*proxy, error) {
	addr, release, err := consultest.FreeAddr()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "onehop-"+k.name+"-*")
	if err != nil {
		release()
		return nil, err
	}
	p := &proxy{addr: addr, dir: dir, release: release}
	if err := k.configure(&proxyConfig{Addr: addr, Addrs: addrs, Dir: dir, Root: os.Getuid() == 0, Checks: checks}); err != nil {
		p.stop()
		return nil, err
	}
	cmd := exec.Command(path, k.args(dir)...) //nolint:noctx // it lives until stop, not for a call
	cmd.Env = plainEnv(os.Environ())
	if p.proc, err = consultest.StartProcess(cmd); err == nil {
		err = p.ready(ctx, k.try)
	}
	if err != nil {
		p.stop()
		return nil, fmt.Errorf("%s: %w", k.name, err)
	}
	return p, nil
}

// configure writes the files.
func (k *proxyKind) configure(c *proxyConfig) error {
	for name, text := range k.files {
		t, err := template.New(name).Parse(text)
		if err != nil {
			return err
		}
		var b strings.Builder
		if err := t.Execute(&b, c); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(c.Dir, name), []byte(b.String()), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// try says whether the proxy at addr does its work.
func (k *proxyKind) try(ctx context.Context, addr string) error {
	if !k.routes {
		var d net.Dialer
		c, err := d.DialContext(ctx, "tcp", addr)
		if err != nil {
			return err
		}
		return c.Close()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/", nil)
	if err != nil {
		return err
	}
	t := &http.Transport{DisableKeepAlives: true}
	resp, err := t.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // its status is all
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	return nil
}

// ready waits until the proxy does its work.
func (p *proxy) ready(ctx context.Context, try func(context.Context, string) error) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		err := try(ctx, p.addr)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not ready: %w\n%s", errors.Join(ctx.Err(), err), p.proc.Tail())
		case <-p.proc.Done():
			return fmt.Errorf("ended at its start:\n%s", p.proc.Tail())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func (p *proxy) stop() {
	if p.proc != nil {
		_ = p.proc.Stop(5 * time.Second) // the master ends its workers
	}
	_ = os.RemoveAll(p.dir)
	p.release()
}

// pids is the proxy with its workers.
func (p *proxy) pids() []int { return withChildren(p.proc.PID()) }

// onPath finds a program of a distribution, which has servers where only root looks.
func onPath(name string) func(context.Context, *config) (path, lack string) {
	return func(context.Context, *config) (string, string) {
		for _, dir := range []string{"", "/usr/sbin", "/usr/local/sbin"} {
			if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
				return path, ""
			}
		}
		return "", "It is not installed: apt install " + name + "."
	}
}

var threeNumbers = regexp.MustCompile(`\d+\.\d+\.\d+`)

// saysItself is the version that a program prints when it is started with -v.
func saysItself(ctx context.Context, path string) string {
	out, _ := exec.CommandContext(ctx, path, "-v").CombinedOutput() // what it printed is all there is to know
	return string(threeNumbers.Find(out))
}

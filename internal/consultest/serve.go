package consultest

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"
)

// HealthPath answers 200 whatever the behaviour: for Consul's checks.
const HealthPath = "/healthz"

// Variables by which a process learns that it is an instance, and which. They are the only contract between the two.
const (
	envInstance = "ONEHOP_TEST_INSTANCE"         // its ID
	envAddr     = "ONEHOP_TEST_INSTANCE_ADDR"    // of the service
	envControl  = "ONEHOP_TEST_INSTANCE_CONTROL" // of the control door
)

// A process that was started as an instance is one from here on: it serves and never reaches its own main. So every
// test binary can be an instance, and a test needs no program beside itself.
func init() {
	if id := os.Getenv(envInstance); id != "" {
		err := serveInstance(id, os.Getenv(envAddr), os.Getenv(envControl))
		fmt.Fprintln(os.Stderr, "instance", id+":", err)
		os.Exit(1)
	}
}

// serveInstance serves until the parent closes our stdin, which its end does too, however it ends.
func serveInstance(id, addr, control string) error {
	service, err := listen(addr)
	if err != nil {
		return err
	}
	door, err := listen(control)
	if err != nil {
		return err
	}
	s := newBehaving(id)
	ended := make(chan error, 3)
	go func() { ended <- server(s).Serve(service) }()
	go func() { ended <- server(s.control()).Serve(door) }()
	go func() {
		_, err := io.Copy(io.Discard, os.Stdin)
		ended <- fmt.Errorf("parent is gone: %w", err)
	}()
	fmt.Println("ready")
	return <-ended
}

// server speaks HTTP/1.1, and HTTP/2 to those who begin with it.
func server(h http.Handler) *http.Server {
	var p http.Protocols
	p.SetHTTP1(true)
	p.SetUnencryptedHTTP2(true)
	return &http.Server{Handler: h, Protocols: &p, ReadHeaderTimeout: time.Minute}
}

// listen binds addr, whose last owner may be dying still.
func listen(addr string) (net.Listener, error) {
	var err error
	for range 100 {
		var l net.Listener
		if l, err = net.Listen("tcp", addr); err == nil { //nolint:noctx // a local bind does not block
			return l, nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return nil, err
}

// awaitReady reads the child's first line.
func awaitReady(r io.Reader) error {
	line, err := bufio.NewReader(r).ReadString('\n')
	if err != nil || line != "ready\n" {
		return fmt.Errorf("instance said %q instead of ready: %w", line, err)
	}
	return nil
}

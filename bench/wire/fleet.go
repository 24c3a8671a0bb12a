package wire

import (
	"context"
	"net"
	"strconv"

	"github.com/onehop-go/onehop/internal/consultest"
)

// instance is an echo in a process of its own.
type instance struct {
	*child

	setup   echoSetup
	release []func()
}

// fleet are the instances of the service.
type fleet []*instance

// startFleet starts n instances. The caller ends them with stop, when err is not nil too.
func startFleet(ctx context.Context, n int) (fleet, error) {
	var f fleet
	for range n {
		i, err := newInstance()
		f = append(f, i)
		if err == nil {
			err = i.start(ctx)
		}
		if err != nil {
			return f, err
		}
	}
	return f, nil
}

// newInstance reserves the addresses, which stay the instance's however often its process is killed.
func newInstance() (*instance, error) {
	i := &instance{}
	for _, addr := range []*string{&i.setup.HTTP, &i.setup.GRPC} {
		a, release, err := consultest.FreeAddr()
		if err != nil {
			return i, err
		}
		*addr, i.release = a, append(i.release, release)
	}
	return i, nil
}

// start runs the process.
func (i *instance) start(ctx context.Context) error {
	c, err := startChild(ctx, roleEcho, i.setup)
	if err == nil {
		i.child = c
	}
	return err
}

// restart ends the process, if it lives, and runs a new one.
func (i *instance) restart(ctx context.Context) error {
	i.child.stop()
	return i.start(ctx)
}

func (f fleet) stop() {
	for _, i := range f {
		if i.child != nil {
			i.child.stop()
		}
		for _, release := range i.release {
			release()
		}
	}
}

// http are the addresses for HTTP, grpc those for gRPC.
func (f fleet) http() []string {
	return f.addrs(func(i *instance) string { return i.setup.HTTP })
}

func (f fleet) grpc() []string {
	return f.addrs(func(i *instance) string { return i.setup.GRPC })
}

func (f fleet) addrs(of func(*instance) string) []string {
	all := make([]string, len(f))
	for n, i := range f {
		all[n] = of(i)
	}
	return all
}

func (f fleet) pids() []int {
	var all []int
	for _, i := range f {
		all = append(all, i.pids()...)
	}
	return all
}

// registration is the instance at addr as Consul knows it.
func registration(addr string) (consultest.Service, error) {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return consultest.Service{}, err
	}
	n, err := strconv.Atoi(port)
	return consultest.Service{Name: service, Port: n}, err
}

package grpcresolver

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/test/bufconn"

	"github.com/onehop-go/onehop/policy"
)

// fleet is servers of one service in memory, at addresses of their own, that know which of them are called.
type fleet struct {
	mu        sync.Mutex
	listeners map[string]*bufconn.Listener
	calls     map[string]int
}

func startFleet(t *testing.T, n int) (f *fleet, addrs []string) {
	t.Helper()
	f = &fleet{listeners: map[string]*bufconn.Listener{}, calls: map[string]int{}}
	for i := range n {
		addr := fmt.Sprintf("10.0.0.%d:80", i+1)
		addrs = append(addrs, addr)
		l := bufconn.Listen(1 << 16)
		f.listeners[addr] = l
		s := grpc.NewServer(grpc.UnaryInterceptor(func(ctx context.Context, in any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
			f.mu.Lock()
			f.calls[addr]++
			f.mu.Unlock()
			return next(ctx, in)
		}))
		pb.RegisterTestServiceServer(s, answering{})
		go func() { _ = s.Serve(l) }()
		t.Cleanup(s.Stop)
	}
	return f, addrs
}

func (f *fleet) dialer() grpc.DialOption {
	return grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) { return f.listeners[addr].DialContext(ctx) })
}

// called is the servers that were called since the last time, in order.
func (f *fleet) called() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []string
	for addr := range f.calls {
		list = append(list, addr)
	}
	slices.Sort(list)
	f.calls = map[string]int{}
	return list
}

// settles calls until the servers that are called are so many, and accept takes them: a change of the list reaches the
// connections in grpc-go's own time.
func (f *fleet) settles(t *testing.T, client pb.TestServiceClient, accept func(called []string) bool) []string {
	t.Helper()
	ctx := call(t, "subset")
	for {
		f.called()
		for range 200 {
			if _, err := client.UnaryCall(ctx, &pb.SimpleRequest{}); err != nil {
				t.Fatalf("while %v were called: %v", f.called(), err)
			}
		}
		if got := f.called(); accept(got) {
			return got
		}
	}
}

// in turns, so that all that can be called are.
func subsetOf(n int) policy.Policy {
	p := fast()
	p.LoadBalancing.Algorithm, p.LoadBalancing.Subset, p.LoadBalancing.SlowStart = policy.RoundRobin, n, 0
	return p
}

// gRFC A68: a client uses so many endpoints as the subset's size says, or all where there are no more.
func TestA68SubsetSize(t *testing.T) {
	for _, c := range []struct{ endpoints, size, want int }{
		{10, 3, 3}, {10, 1, 1}, {10, 9, 9}, {10, 10, 10}, {3, 10, 3}, {1, 1, 1}, {10, 0, 10},
	} {
		t.Run(fmt.Sprintf("%d of %d", c.size, c.endpoints), func(t *testing.T) {
			f, addrs := startFleet(t, c.endpoints)
			hop, _ := hopTo(t, subsetOf(c.size), addrs...)
			_, client := dial(t, hop, f.dialer())
			f.settles(t, client, func(called []string) bool {
				if len(called) > c.want {
					t.Fatalf("%d servers are called; want %d", len(called), c.want)
				}
				return len(called) == c.want
			})
		})
	}
}

// gRFC A68: the subset changes as little as the list does.
func TestA68SubsetIsStable(t *testing.T) {
	const endpoints, size = 12, 4
	f, addrs := startFleet(t, endpoints)
	listed := slices.Clone(addrs[:endpoints-1])
	hop, script := hopTo(t, subsetOf(size), listed...)
	_, client := dial(t, hop, f.dialer())
	whole := func(called []string) bool { return len(called) == size }
	members := f.settles(t, client, whole)
	without := func(list []string, addr string) []string {
		return slices.DeleteFunc(slices.Clone(list), func(a string) bool { return a == addr })
	}

	stranger := listed[slices.IndexFunc(listed, func(a string) bool { return !slices.Contains(members, a) })]
	listed = without(listed, stranger)
	script.set(listed...)
	if got := f.settles(t, client, whole); !slices.Equal(got, members) {
		t.Errorf("one that was not used has left, and %v are called; want %v as before", got, members)
	}

	gone := members[0]
	listed = without(listed, gone)
	script.set(listed...)
	after := f.settles(t, client, func(called []string) bool { return len(called) == size && !slices.Contains(called, gone) })
	if n := shared(members, after); n != size-1 {
		t.Errorf("%v were called and one of them left: now %v; want the three others among them", members, after)
	}

	listed = append(listed, addrs[endpoints-1])
	script.set(listed...)
	if n := shared(after, f.settles(t, client, whole)); n < size-1 {
		t.Errorf("one has come and %d of %d members are left; want at most one changed", n, size)
	}
}

// gRFC A68: each client draws its own subset, so that together they use all endpoints.
func TestA68ClientsDrawTheirOwn(t *testing.T) {
	const endpoints, size, clients = 8, 3, 40
	f, addrs := startFleet(t, endpoints)
	subsets, used := map[string]bool{}, map[string]bool{}
	for range clients {
		hop, _ := hopTo(t, subsetOf(size), addrs...)
		conn, client := dial(t, hop, f.dialer())
		called := f.settles(t, client, func(called []string) bool { return len(called) == size })
		subsets[strings.Join(called, " ")] = true
		for _, a := range called {
			used[a] = true
		}
		_ = conn.Close()
	}
	// 56 triples: forty draws meet fewer than five of them once in 10^20 runs, and miss a server in one of 20 million.
	if len(subsets) < 5 || len(used) != endpoints {
		t.Errorf("%d clients drew %d subsets of %d servers; want many and all %d", clients, len(subsets), len(used), endpoints)
	}
}

func shared(a, b []string) (n int) {
	for _, s := range a {
		if slices.Contains(b, s) {
			n++
		}
	}
	return n
}

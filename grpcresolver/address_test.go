package grpcresolver

import (
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/onehop-go/onehop"
	"github.com/onehop-go/onehop/policy"
	"github.com/onehop-go/onehop/resolver"
)

// network is addresses at which a server answers, by its name; all others refuse, but for those that are silent.
type network struct {
	silent map[string]bool

	mu      sync.Mutex
	servers map[string]*bufconn.Listener
	dialed  []string
}

// lay makes a network in which each of these words is an address and what is there: "10.0.0.1:80=a" is server a.
func lay(t *testing.T, words ...string) *network {
	t.Helper()
	n := &network{servers: map[string]*bufconn.Listener{}, silent: map[string]bool{}}
	byName := map[string]*bufconn.Listener{}
	for _, w := range words {
		addr, name, _ := strings.Cut(w, "=")
		if name == "silent" {
			n.silent[addr] = true
			continue
		}
		if byName[name] == nil {
			n.add(t, addr, &server{ledger: &executions{}, addr: name})
			byName[name] = n.servers[addr]
		}
		n.servers[addr] = byName[name]
	}
	return n
}

// add puts a server at an address; kill ends it, and whoever dials there is refused.
func (n *network) add(t *testing.T, addr string, impl pb.TestServiceServer, opts ...grpc.ServerOption) (kill func()) {
	t.Helper()
	lis := bufconn.Listen(1 << 16)
	n.mu.Lock()
	n.servers[addr] = lis
	n.mu.Unlock()
	s := grpc.NewServer(opts...)
	pb.RegisterTestServiceServer(s, impl)
	go func() { _ = s.Serve(lis) }()
	t.Cleanup(s.Stop)
	return func() {
		n.mu.Lock()
		delete(n.servers, addr)
		n.mu.Unlock()
		s.Stop()
	}
}

func (n *network) dial(ctx context.Context, addr string) (net.Conn, error) {
	n.mu.Lock()
	n.dialed = append(n.dialed, addr)
	l := n.servers[addr]
	n.mu.Unlock()
	switch {
	case l != nil:
		return l.DialContext(ctx)
	case n.silent[addr]:
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
}

func (n *network) dials() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.dialed)
}

func at(addr string, alternates ...string) resolver.Endpoint {
	return resolver.Endpoint{Addr: addr, Alternates: alternates}
}

func inTurns() policy.Policy {
	p := policy.Default()
	p.LoadBalancing.Algorithm = policy.RoundRobin
	return p
}

// clientOver calls the endpoints in turns over the network.
func clientOver(t *testing.T, n *network, endpoints ...resolver.Endpoint) (pb.TestServiceClient, *scripted) {
	t.Helper()
	hop, script := hopTo(t, inTurns())
	script.put(endpoints...)
	_, client := dial(t, hop, grpc.WithContextDialer(n.dial))
	return client, script
}

// gRFC A61: an endpoint with several addresses is one endpoint.
func TestEndpointsWithSeveralAddresses(t *testing.T) {
	const one, two, three, four = "10.0.0.1:80", "10.0.0.2:80", "[fd00::1]:80", "[fd00::2]:80"
	for name, row := range map[string]struct {
		network   []string
		endpoints []resolver.Endpoint
		dials     string // in any order between endpoints
		share     string // of 20 calls
	}{
		"the first answers: no other is dialled": {
			[]string{one + "=a", three + "=a"}, []resolver.Endpoint{at(one, three)}, one, "a 20",
		},
		"the first refuses": {[]string{three + "=a"}, []resolver.Endpoint{at(one, three)}, one + " " + three, "a 20"},
		"the first is silent: the next is tried beside it": {
			[]string{one + "=silent", three + "=a"}, []resolver.Endpoint{at(one, three)}, one + " " + three, "a 20",
		},
		"families alternate": {
			[]string{two + "=a"}, []resolver.Endpoint{at(one, two, three)}, one + " " + three + " " + two, "a 20",
		},
		"calls are spread over endpoints, not over addresses": {
			[]string{one + "=a", three + "=a", four + "=a", two + "=b"}, []resolver.Endpoint{at(one, three, four), at(two)}, one + " " + two, "a 10, b 10",
		},
		"a dead address of one endpoint is nothing to the other": {
			[]string{three + "=a", two + "=b"}, []resolver.Endpoint{at(one, three), at(two)}, one + " " + three + " " + two, "a 10, b 10",
		},
		"one with no address that answers gets no calls": {
			[]string{two + "=b"}, []resolver.Endpoint{at(one, three), at(two)}, one + " " + three + " " + two, "b 20",
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // no stall of the machine is a backoff that is over
				n := lay(t, row.network...)
				client, _ := clientOver(t, n, row.endpoints...)
				// A connection is ready when it is: calls are counted once all that can be are.
				counted, warm := map[string]int{}, map[string]bool{}
				want := strings.Count(row.share, ",") + 1
				for i := 0; len(warm) < want || !tried(n, row.dials); i++ {
					warm[who(t, client, fmt.Sprint("warm", i))] = true
				}
				for i := range 20 {
					counted[who(t, client, fmt.Sprint(i))]++
				}
				var share []string
				for _, name := range slices.Sorted(maps.Keys(counted)) {
					share = append(share, fmt.Sprint(name, " ", counted[name]))
				}
				if got := strings.Join(share, ", "); got != row.share {
					t.Errorf("calls: %s; want %s", got, row.share)
				}
				if got := n.dials(); len(row.endpoints) == 1 && strings.Join(got, " ") != row.dials || len(got) != len(strings.Fields(row.dials)) {
					t.Errorf("dialled %q; want %s", got, row.dials)
				}
			})
		})
	}
}

// tried says whether all of these addresses were dialled.
func tried(n *network, addrs string) bool {
	dials := n.dials()
	for a := range strings.FieldsSeq(addrs) {
		if !slices.Contains(dials, a) {
			return false
		}
	}
	return true
}

// who makes a call and returns who answered.
func who(t *testing.T, client pb.TestServiceClient, id string) string {
	t.Helper()
	r, err := client.UnaryCall(call(t, id), &pb.SimpleRequest{}, grpc.WaitForReady(true))
	if err != nil {
		t.Fatal(err)
	}
	return r.GetServerId()
}

// until calls until that server answers.
func until(t *testing.T, client pb.TestServiceClient, name string) {
	t.Helper()
	for i := 0; ; i++ {
		if who(t, client, fmt.Sprint("until ", name, i)) == name {
			return
		}
	}
}

// An endpoint is refused once all its addresses were, and the attempt names it by its first.
func TestEndpointWithoutAnAddressThatAnswers(t *testing.T) {
	n := lay(t)
	var attempts []onehop.Attempt
	hop, err := onehop.New(onehop.WithResolver(resolver.Static{"inventory": {"10.0.0.1:80,[fd00::1]:80"}}), onehop.WithPolicies(policy.Static{}),
		onehop.WithObserver(onehop.Observer{AttemptDone: func(_ context.Context, a onehop.Attempt) { attempts = append(attempts, a) }}))
	if err != nil {
		t.Fatal(err)
	}
	defer hop.Close() //nolint:errcheck // a test
	_, client := dial(t, hop, grpc.WithContextDialer(n.dial))
	_, err = client.UnaryCall(call(t, "nobody"), &pb.SimpleRequest{})
	if status.Code(err) != codes.Unavailable {
		t.Errorf("%v", err)
	}
	if len(attempts) == 0 || attempts[0].Outcome != onehop.OutcomeRefused || attempts[0].Endpoint.Addr != "10.0.0.1:80" {
		t.Errorf("attempts %+v", attempts)
	}
	if !tried(n, "10.0.0.1:80 [fd00::1]:80") {
		t.Errorf("dialled %q", n.dials())
	}
}

// A changed list of addresses reaches grpc-go; changed weights and tags do not: its connections stay.
func TestAddressesChange(t *testing.T) {
	const one, two, three = "10.0.0.1:80", "10.0.0.2:80", "[fd00::1]:80"
	n := lay(t, one+"=a", two+"=b", three+"=c")
	client, script := clientOver(t, n, at(one))
	who(t, client, "first")
	heavy := at(one)
	heavy.Weight, heavy.Tags = 3, []string{"v2"}
	script.put(heavy)
	script.put(heavy, at(two)) // what is told of it comes after what would have been told of the weight
	until(t, client, "b")
	if got := n.dials(); !slices.Equal(got, []string{one, two}) {
		t.Errorf("a weight made grpc-go dial again: %q", got)
	}
	script.put(at("10.0.0.9:80")) // nobody is there
	script.put(at("10.0.0.9:80", three))
	until(t, client, "c")
}

// Over real connections, with our own dialer: the first address is dead and the second serves, unary and streams.
func TestSecondAddressServes(t *testing.T) {
	var l executions
	s := startServer(t, &l)
	gone := startServer(t, &l)
	gone.kill()
	hop, script := hopTo(t, fast())
	script.put(at(gone.addr, s.addr))
	_, client := dial(t, hop)
	for i := range 20 {
		if _, err := client.UnaryCall(call(t, fmt.Sprint("u", i)), &pb.SimpleRequest{}); err != nil {
			t.Fatal(err)
		}
	}
	stream, err := client.FullDuplexCall(call(t, "s"))
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&pb.StreamingOutputCallRequest{}); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	if l.most() != 1 || s.served() != 21 {
		t.Errorf("%d served, %d times at most", s.served(), l.most())
	}
}

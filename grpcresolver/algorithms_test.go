package grpcresolver

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/balancer"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"

	"github.com/onehop-go/onehop"
	"github.com/onehop-go/onehop/internal/engine"
	"github.com/onehop-go/onehop/internal/health"
	"github.com/onehop-go/onehop/policy"
	"github.com/onehop-go/onehop/resolver"
)

// modes are the two ways to a ClientConn: with the attempt loop, and without.
var modes = map[string]func(*testing.T, *onehop.Client, ...grpc.DialOption) (*grpc.ClientConn, pb.TestServiceClient){
	"loop": dial,
	"scheme only": func(t *testing.T, hop *onehop.Client, opts ...grpc.DialOption) (*grpc.ClientConn, pb.TestServiceClient) {
		t.Helper()
		conn := connNative(t, hop, opts...)
		return conn, pb.NewTestServiceClient(conn)
	},
}

func weighted(addr string, weight int) resolver.Endpoint {
	return resolver.Endpoint{Addr: addr, Weight: weight}
}

// Calls go by the listed weights under every algorithm, in both modes.
func TestWeights(t *testing.T) {
	for mode, dial := range modes {
		for algorithm, slack := range map[policy.Algorithm]int{policy.RoundRobin: 0, policy.P2CEWMA: 60, policy.LeastRequest: 60} {
			t.Run(mode+"/"+string(algorithm), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					n := lay(t, "10.0.0.1:80=a", "10.0.0.2:80=b")
					p := fast()
					p.LoadBalancing.Algorithm = algorithm
					hop, script := hopTo(t, p)
					script.put(weighted("10.0.0.1:80", 1), weighted("10.0.0.2:80", 3))
					conn, client := dial(t, hop, grpc.WithContextDialer(n.dial))
					conn.Connect()
					synctest.Wait() // both connections stand
					heavy := 0
					for i := range 400 {
						if who(t, client, fmt.Sprint(i)) == "b" {
							heavy++
						}
					}
					if heavy < 300-slack || heavy > 300+slack { // by chance 9 off: 60 are seven deviations
						t.Errorf("%d of 400 calls to the server with three times the weight", heavy)
					}
				})
			})
		}
	}
}

// A key stays with its server under ring_hash, given in the code or by a metadata field, in both modes.
func TestRingHash(t *testing.T) {
	for mode, dial := range modes {
		for way, with := range map[string]func(ctx context.Context, key string) context.Context{
			"HashKey": func(ctx context.Context, key string) context.Context { return onehop.With(ctx, onehop.HashKey(key)) },
			"WithHashField": func(ctx context.Context, key string) context.Context {
				return metadata.AppendToOutgoingContext(ctx, "x-user", key)
			},
		} {
			t.Run(mode+"/"+way, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					n := lay(t, "10.0.0.1:80=a", "10.0.0.2:80=b", "10.0.0.3:80=c")
					p := fast()
					p.LoadBalancing.Algorithm = policy.RingHash
					s := &scripted{}
					s.set("10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80")
					hop, err := onehop.New(onehop.WithResolver(s), onehop.WithPolicies(policy.Static{"inventory": p}),
						onehop.WithHashField("x-user"), onehop.WithLogger(slog.New(slog.DiscardHandler)))
					if err != nil {
						t.Fatal(err)
					}
					defer hop.Close() //nolint:errcheck // a test's
					conn, client := dial(t, hop, grpc.WithContextDialer(n.dial))
					conn.Connect()
					synctest.Wait()
					owner, owners := map[string]string{}, map[string]int{}
					for i := range 400 {
						key := fmt.Sprint("user", i%40)
						r, err := client.UnaryCall(with(call(t, key), key), &pb.SimpleRequest{})
						if err != nil {
							t.Fatal(err)
						}
						if was := owner[key]; was != "" && was != r.GetServerId() {
							t.Fatalf("%s went to %s and to %s", key, was, r.GetServerId())
						}
						owner[key] = r.GetServerId()
						owners[r.GetServerId()]++
					}
					if len(owners) != 3 {
						t.Errorf("40 keys have %d owners of 3", len(owners))
					}
				})
			})
		}
	}
}

// A newcomer gets its share by and by, in both modes.
func TestSlowStart(t *testing.T) {
	for mode, dial := range modes {
		t.Run(mode, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := lay(t, "10.0.0.1:80=a", "10.0.0.2:80=b")
				p := inTurns()
				p.LoadBalancing.SlowStart = 10 * time.Second
				hop, script := hopTo(t, p, "10.0.0.1:80")
				conn, client := dial(t, hop, grpc.WithContextDialer(n.dial))
				conn.Connect()
				synctest.Wait()
				share := func() (newcomer int) {
					for i := range 200 {
						if who(t, client, fmt.Sprint(i)) == "b" {
							newcomer++
						}
					}
					return newcomer
				}
				script.set("10.0.0.1:80", "10.0.0.2:80")
				synctest.Wait()
				if got := share(); got > 40 { // a tenth of its turns: 10
					t.Errorf("%d of 200 calls to one that has only come", got)
				}
				time.Sleep(p.LoadBalancing.SlowStart)
				if got := share(); got != 100 {
					t.Errorf("%d of 200 calls to it after its slow start", got)
				}
			})
		})
	}
}

// sure is the picker of a connection that is always there.
type sure struct{}

func (sure) Pick(balancer.PickInfo) (balancer.PickResult, error) { return balancer.PickResult{}, nil }

// Without the loop calls go over to another datacenter by its share, too.
func TestSchemeOnlyFailsOverByShare(t *testing.T) {
	up := engine.NewUpstream(resolver.Target{Service: "pay"}, engine.Env{})
	near := []resolver.Endpoint{{Addr: "10.0.0.1:80"}, {Addr: "10.0.0.2:80"}}
	up.Set().Update(health.Now(), health.Tier{Members: near, Missing: 2}, // half is critical: it is good for seven tenths
		health.Tier{Members: []resolver.Endpoint{{Addr: "10.1.0.1:80"}}})
	p := &picker{up: up, ready: map[*health.Endpoint]balancer.Picker{}, list: up.Set().View().All}
	for _, e := range p.list {
		p.ready[e] = sure{}
	}
	far := 0
	for range 1000 {
		r, err := p.Pick(balancer.PickInfo{Ctx: t.Context(), FullMethodName: "/a/B"})
		if err != nil {
			t.Fatal(err)
		}
		far += p.list[2].InFlight()
		r.Done(balancer.DoneInfo{})
	}
	if far < 200 || far > 400 {
		t.Errorf("%d of 1000 calls went to the other datacenter; want three tenths", far)
	}
}

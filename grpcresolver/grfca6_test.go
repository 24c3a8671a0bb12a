package grpcresolver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
	"google.golang.org/grpc/status"

	"github.com/onehop-go/onehop"
	"github.com/onehop-go/onehop/policy"
)

// act is what a server does with one attempt: response headers if it is to send them, a message if it is to send one, and
// the status with its pushback. The zero value: OK.
type act struct {
	headers, message bool
	code             codes.Code
	pushback         []string
}

// acting plays a script: the first act for the first attempt of a call and so on, the last one for all that follow.
type acting struct {
	pb.UnimplementedTestServiceServer
	mu     sync.Mutex
	script []act
	seen   []string // what each attempt said of those before it
	at     []time.Time
}

func (a *acting) begin(script []act) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.script, a.seen, a.at = script, nil, nil
}

// next is the act of the attempt that begins, and its number.
func (a *acting) next(ctx context.Context) (act, int) {
	md, _ := metadata.FromIncomingContext(ctx)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.seen, a.at = append(a.seen, strings.Join(md.Get(previousAttempts), " ")), append(a.at, time.Now())
	n := len(a.seen)
	return a.script[min(n, len(a.script))-1], n
}

func (a *acting) told() (seen string, pause time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.at) > 1 { // between the first two
		pause = a.at[1].Sub(a.at[0])
	}
	return fmt.Sprintf("%q", a.seen), pause
}

// end is the act's status. Its message has the attempt's number, so that the caller can be asked whose it got.
func (c act) end(n int, trailer func(metadata.MD)) error {
	if len(c.pushback) > 0 {
		trailer(metadata.MD{"grpc-retry-pushback-ms": c.pushback})
	}
	if c.code == codes.OK {
		return nil
	}
	return status.Errorf(c.code, "attempt %d", n)
}

func (a *acting) UnaryCall(ctx context.Context, _ *pb.SimpleRequest) (*pb.SimpleResponse, error) {
	c, n := a.next(ctx)
	if c.headers {
		_ = grpc.SendHeader(ctx, nil)
	}
	return &pb.SimpleResponse{}, c.end(n, func(md metadata.MD) { _ = grpc.SetTrailer(ctx, md) })
}

func (a *acting) StreamingOutputCall(_ *pb.StreamingOutputCallRequest, s grpc.ServerStreamingServer[pb.StreamingOutputCallResponse]) error {
	c, n := a.next(s.Context())
	if c.headers {
		_ = s.SendHeader(nil)
	}
	if c.message {
		_ = s.Send(&pb.StreamingOutputCallResponse{})
	}
	return c.end(n, s.SetTrailer)
}

// The rows of gRFC A6 that a client with three attempts and UNAVAILABLE as its retryable code must keep.
var a6 = map[string]struct {
	script  []act
	streams bool   // of streams only
	seen    string // grpc-previous-rpc-attempts, attempt by attempt
	want    string // what the caller gets
	pause   time.Duration
}{
	"OK at once":                                 {script: []act{{}}, seen: `[""]`, want: "OK"},
	"retryable, then OK":                         {script: []act{{code: codes.Unavailable}, {}}, seen: `["" "1"]`, want: "OK"},
	"retryable twice, then OK":                   {script: []act{{code: codes.Unavailable}, {code: codes.Unavailable}, {}}, seen: `["" "1" "2"]`, want: "OK"},
	"maxAttempts: the last status is the call's": {script: []act{{code: codes.Unavailable}}, seen: `["" "1" "2"]`, want: "Unavailable: attempt 3"},
	"a code that is not retryable":               {script: []act{{code: codes.NotFound}}, seen: `[""]`, want: "NotFound: attempt 1"},
	"retryable, then not": {
		script: []act{{code: codes.Unavailable}, {code: codes.NotFound}}, seen: `["" "1"]`, want: "NotFound: attempt 2",
	},
	"response headers commit": {script: []act{{headers: true, code: codes.Unavailable}}, seen: `[""]`, want: "Unavailable: attempt 1"},
	"a message commits": {
		streams: true, script: []act{{message: true, code: codes.Unavailable}}, seen: `[""]`, want: "Unavailable: attempt 1",
	},
	"the second attempt's headers commit": {
		script: []act{{code: codes.Unavailable}, {headers: true, code: codes.Unavailable}}, seen: `["" "1"]`, want: "Unavailable: attempt 2",
	},
	"pushback 0": {script: []act{{code: codes.Unavailable, pushback: []string{"0"}}, {}}, seen: `["" "1"]`, want: "OK"},
	"pushback 50": {
		script: []act{{code: codes.Unavailable, pushback: []string{"50"}}, {}}, seen: `["" "1"]`, want: "OK", pause: 50 * time.Millisecond,
	},
	"pushback -1": {
		script: []act{{code: codes.Unavailable, pushback: []string{"-1"}}}, seen: `[""]`, want: "Unavailable: attempt 1",
	},
	"pushback that is no number": {
		script: []act{{code: codes.Unavailable, pushback: []string{"soon"}}}, seen: `[""]`, want: "Unavailable: attempt 1",
	},
	"pushback said twice": {
		script: []act{{code: codes.Unavailable, pushback: []string{"1", "1"}}}, seen: `[""]`, want: "Unavailable: attempt 1",
	},
	"pushback does not make a code retryable": {
		script: []act{{code: codes.NotFound, pushback: []string{"0"}}}, seen: `[""]`, want: "NotFound: attempt 1",
	},
}

// gRFC A6 over grpc-go itself, which shows that a row is right, and over both modes of onehop; for unary calls and streams.
func TestA6Retries(t *testing.T) {
	a := &acting{}
	s := &server{t: t, impl: a}
	s.start()
	t.Cleanup(s.kill)
	p := fast()
	p.Retry.Backoff.Max = time.Second // a pushback is waited for up to it
	p.Routes = []policy.Route{route("all", testService+"/*", func(r *policy.Route) { r.Idempotent, r.Settings = true, p.Settings })}
	p.Budget.Min = 100 // throttling has its own test
	hop, _ := hopTo(t, p, s.addr)
	_, client := dial(t, hop)
	for way, client := range map[string]pb.TestServiceClient{
		"grpc-go": dialA6(t, s.addr, ""), "NewClient": client, "scheme only": dialNative(t, hop),
	} {
		for name, c := range a6 {
			for kind, one := range map[string]func(context.Context, pb.TestServiceClient) error{"unary": callA6, "stream": streamA6} {
				if c.streams && kind == "unary" {
					continue
				}
				t.Run(way+"/"+name+"/"+kind, func(t *testing.T) {
					a.begin(c.script)
					err := one(call(t, name), client)
					if got := wordsA6(err); got != c.want {
						t.Errorf("the caller got %s; want %s", got, c.want)
					}
					if seen, pause := a.told(); seen != c.seen || pause < c.pause {
						t.Errorf("the server saw %s, %s between the first two; want %s, at least %s", seen, pause, c.seen, c.pause)
					}
				})
			}
		}
	}
}

// Where A6 lets the call wait for as long as the server says, onehop lets the server be: the call goes on elsewhere at
// once, and others keep away from it, whatever the algorithm.
func TestA6PushbackBindsItsEndpoint(t *testing.T) {
	for _, algorithm := range []policy.Algorithm{policy.P2CEWMA, policy.LeastRequest, policy.RoundRobin, policy.RingHash} {
		t.Run(string(algorithm), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				busy := &acting{script: []act{{code: codes.Unavailable, pushback: []string{"60000"}}}}
				n := lay(t)
				n.add(t, "10.0.0.1:80", busy)
				n.add(t, "10.0.0.2:80", &acting{script: []act{{}}})
				p := fast()
				p.LoadBalancing.Algorithm = algorithm
				hop, _ := hopTo(t, p, "10.0.0.1:80", "10.0.0.2:80")
				conn, client := dial(t, hop, grpc.WithContextDialer(n.dial))
				conn.Connect()
				synctest.Wait() // both connections stand
				asked := func() bool { seen, _ := busy.told(); return seen != "[]" }
				for i := 0; !asked() || i < 50; i++ {
					if err := callA6(call(t, "bound", onehop.Idempotent(), onehop.HashKey(fmt.Sprint(i))), client); err != nil {
						t.Fatal(err)
					}
				}
				if seen, _ := busy.told(); seen != `[""]` {
					t.Errorf("the busy server saw %s; want one attempt", seen)
				}
			})
		})
	}
}

// A pause that is longer than a backoff may be is not waited for where nobody else can be asked, nor is the server asked
// before: the caller gets what it said.
func TestA6PushbackBeyondTheLongestBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &acting{script: []act{{code: codes.Unavailable, pushback: []string{"60000"}}, {}}}
		n := lay(t)
		n.add(t, "10.0.0.1:80", a)
		hop, _ := hopTo(t, policy.Default(), "10.0.0.1:80")
		_, client := dial(t, hop, grpc.WithContextDialer(n.dial))
		var trailer metadata.MD
		_, err := client.UnaryCall(call(t, "long", onehop.Idempotent()), &pb.SimpleRequest{}, grpc.Trailer(&trailer))
		if got := wordsA6(err); got != "Unavailable: attempt 1" || fmt.Sprint(trailer.Get("grpc-retry-pushback-ms")) != "[60000]" {
			t.Errorf("the caller got %s and %v", got, trailer)
		}
		if seen, _ := a.told(); seen != `[""]` {
			t.Errorf("the server saw %s; want one attempt", seen)
		}
	})
}

// Throttling: retries are paid from what is at hand, which calls that fail use up and good answers fill. grpc-go's bucket and
// onehop's budget count differently; what A6 wants of both is the same.
func TestA6Throttling(t *testing.T) {
	a := &acting{}
	s := &server{t: t, impl: a}
	s.start()
	t.Cleanup(s.kill)
	p := fast()
	p.Budget = policy.Budget{Ratio: 0.1, Min: 2}
	hop, _ := hopTo(t, p, s.addr)
	_, ours := dial(t, hop)
	for way, client := range map[string]pb.TestServiceClient{
		// Four tokens, and a retry only while more than two are left (A6): after one call with a retry there is none for the next.
		"grpc-go": dialA6(t, s.addr, `,"retryThrottling":{"maxTokens":4,"tokenRatio":0.1}`),
		"onehop":  ours,
	} {
		t.Run(way, func(t *testing.T) {
			attempts := func(script ...act) int {
				a.begin(script)
				_ = callA6(call(t, way, onehop.Idempotent()), client)
				seen, _ := a.told()
				return strings.Count(seen, `"`) / 2
			}
			for range 20 {
				if n := attempts(act{code: codes.NotFound}); n != 1 {
					t.Fatalf("%d attempts of a call that is not retried", n)
				}
			}
			first := attempts(act{code: codes.Unavailable})
			if first < 2 {
				t.Errorf("%d attempts of the first call that fails: failures that are not retried have used the budget", first)
			}
			for range 20 {
				attempts(act{code: codes.Unavailable})
			}
			if n := attempts(act{code: codes.Unavailable}); n != 1 {
				t.Errorf("%d attempts of a call after many failed", n)
			}
			for range 100 {
				attempts(act{})
			}
			if n := attempts(act{code: codes.Unavailable}, act{}); n != 2 {
				t.Errorf("%d attempts of a call after many went well", n)
			}
		})
	}
}

func callA6(ctx context.Context, c pb.TestServiceClient) error {
	_, err := c.UnaryCall(ctx, &pb.SimpleRequest{})
	return err
}

func streamA6(ctx context.Context, c pb.TestServiceClient) error {
	s, err := c.StreamingOutputCall(ctx, &pb.StreamingOutputCallRequest{})
	for err == nil {
		_, err = s.Recv()
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// wordsA6 is the status of a call. onehop wraps that of the last attempt where it gave up by itself.
func wordsA6(err error) string {
	if err == nil {
		return "OK"
	}
	if e, ok := errors.AsType[*onehop.Error](err); ok {
		err = e.Err
	}
	words := status.Convert(err).Message()
	if i := strings.LastIndex(words, "attempt "); i > 0 { // grpc-go writes how many there were before it
		words = words[i:]
	}
	return status.Code(err).String() + ": " + words
}

// dialA6 is grpc-go alone with the retry policy of the table.
func dialA6(t *testing.T, addr, more string) pb.TestServiceClient {
	t.Helper()
	r := manual.NewBuilderWithScheme("fixed")
	r.InitialState(resolver.State{Endpoints: []resolver.Endpoint{{Addresses: []resolver.Address{{Addr: addr}}}}})
	conn, err := grpc.NewClient("fixed:///x", grpc.WithResolvers(r), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultServiceConfig(`{"methodConfig":[{"name":[{"service":"`+testService+`"}],"retryPolicy":{"maxAttempts":3,
			"initialBackoff":"0.001s","maxBackoff":"0.002s","backoffMultiplier":2,"retryableStatusCodes":["UNAVAILABLE"]}}]`+more+`}`))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return pb.NewTestServiceClient(conn)
}

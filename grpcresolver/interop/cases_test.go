package interop

import (
	"context"
	"os"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/interop"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/testdata"

	"github.com/onehop-go/onehop/policy"
)

// interopCase is a case of grpc's interop test descriptions as grpc-go's interop client plays it: the functions are its own.
type interopCase struct {
	name           string
	play           func(ctx context.Context, cc *grpc.ClientConn)
	unary, streams int64 // calls that it makes
}

func of(f func(context.Context, pb.TestServiceClient, ...grpc.CallOption), opts ...grpc.CallOption) func(context.Context, *grpc.ClientConn) {
	return func(ctx context.Context, cc *grpc.ClientConn) { f(ctx, pb.NewTestServiceClient(cc), opts...) }
}

// cases are all of grpc-go's but for those that sign in at Google's cloud (compute_engine_creds, service_account_creds,
// jwt_token_creds, per_rpc_creds, oauth2_auth_token, google_default_credentials, compute_engine_channel_credentials) and
// pick_first_unary, which is of another load balancing and wants a server that says who it is, as grpc-go's does not.
// channel_soak and the ORCA cases, which need more than a ClientConn, stand below; with compression, which grpc-go's server
// does not know, in TestInteropCompressed.
var cases = []interopCase{
	{"empty_unary", of(interop.DoEmptyUnaryCall), 1, 0},
	{"large_unary", of(interop.DoLargeUnaryCall), 1, 0},
	{"client_streaming", of(interop.DoClientStreaming), 0, 1},
	{"server_streaming", of(interop.DoServerStreaming), 0, 1},
	{"ping_pong", of(interop.DoPingPong), 0, 1},
	{"empty_stream", of(interop.DoEmptyStream), 0, 1},
	{"timeout_on_sleeping_server", of(interop.DoTimeoutOnSleepingServer), 0, 1},
	{"cancel_after_begin", of(interop.DoCancelAfterBegin), 0, 1},
	{"cancel_after_first_response", of(interop.DoCancelAfterFirstResponse), 0, 1},
	{"custom_metadata", of(interop.DoCustomMetadata), 1, 1},
	{"status_code_and_message", of(interop.DoStatusCodeAndMessage), 1, 1},
	{"special_status_message", of(interop.DoSpecialStatusMessage), 1, 0},
	{"unimplemented_method", interop.DoUnimplementedMethod, 1, 0},
	{"unimplemented_service", func(ctx context.Context, cc *grpc.ClientConn) {
		interop.DoUnimplementedService(ctx, pb.NewUnimplementedServiceClient(cc))
	}, 1, 0},
	{"rpc_soak", func(ctx context.Context, cc *grpc.ClientConn) {
		soak(ctx, func() (*grpc.ClientConn, func()) { return cc, func() {} })
	}, soakCalls, 0},
}

const soakCalls = 60

// soak is grpc-go's soak of large unary calls, cut to a size for every run. It writes a line for each call to stderr.
func soak(ctx context.Context, channel func() (*grpc.ClientConn, func())) {
	if null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0); err == nil {
		defer func(stderr *os.File) { os.Stderr = stderr; _ = null.Close() }(os.Stderr)
		os.Stderr = null
	}
	interop.DoSoakTest(ctx, interop.SoakTestConfig{
		RequestSize: 271828, ResponseSize: 314159, PerIterationMaxAcceptableLatency: time.Minute, OverallTimeout: time.Minute,
		ServerAddr: service, NumWorkers: 4, Iterations: soakCalls, ChannelForTest: channel,
	})
}

// play runs a case. What it calls fatal ends t alone.
func play(t *testing.T, f func(ctx context.Context)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	defer func() {
		switch p := recover().(type) {
		case nil:
		case caseFailed:
			t.Fatal(string(p))
		default:
			panic(p)
		}
	}()
	f(ctx)
}

// security is with and without TLS.
var security = map[string]struct {
	flags []string
	creds func(*testing.T) grpc.DialOption
}{
	"plaintext": {nil, func(*testing.T) grpc.DialOption { return grpc.WithTransportCredentials(insecure.NewCredentials()) }},
	"TLS": {[]string{"-use_tls"}, func(t *testing.T) grpc.DialOption {
		t.Helper()
		return grpc.WithTransportCredentials(tlsCreds(t, testdata.Path("ca.pem")))
	}},
}

// Every case passes on every way to a ClientConn, over three server processes, with and without TLS, and with the
// caller's own interceptors, which see each call once.
func TestInteropCases(t *testing.T) {
	for name, s := range security {
		t.Run(name, func(t *testing.T) {
			addrs := startServers(t, 3, s.flags...)
			for _, w := range ways {
				t.Run(w.name, func(t *testing.T) {
					bare := w.dial(t, addrs, s.creds(t))
					var seen counter
					watched := w.dial(t, addrs, append(seen.options(), s.creds(t))...)
					for _, c := range cases {
						t.Run(c.name, func(t *testing.T) { play(t, func(ctx context.Context) { c.play(ctx, bare) }) })
						t.Run(c.name+", intercepted", func(t *testing.T) {
							seen.unary.Store(0)
							seen.streams.Store(0)
							play(t, func(ctx context.Context) { c.play(ctx, watched) })
							if u, s := seen.unary.Load(), seen.streams.Load(); u != c.unary || s != c.streams {
								t.Errorf("the caller's interceptors saw %d calls and %d streams; want %d and %d", u, s, c.unary, c.streams)
							}
						})
					}
				})
			}
		})
	}
}

// channel_soak: a ClientConn for each call.
func TestInteropChannelSoak(t *testing.T) {
	addrs := startServers(t, 3)
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			play(t, func(ctx context.Context) {
				soak(ctx, func() (*grpc.ClientConn, func()) {
					cc := w.dial(t, addrs, grpc.WithTransportCredentials(insecure.NewCredentials()))
					return cc, func() { _ = cc.Close() }
				})
			})
		})
	}
}

// The ORCA cases read the reports through a load balancing policy of grpc-go's own interop client, which takes the place
// of ours: what remains of onehop is the resolver.
func TestInteropORCA(t *testing.T) {
	addrs := startServers(t, 1)
	const config = `{"loadBalancingConfig":[{"test_backend_metrics_load_balancer":{}}]}`
	creds := grpc.WithTransportCredentials(insecure.NewCredentials())
	for name, cc := range map[string]*grpc.ClientConn{
		"grpc-go":     dialNative(t, config, addrs, creds),
		"scheme only": schemeOnly(t, policy.Default(), addrs, creds, grpc.WithDisableServiceConfig(), grpc.WithDefaultServiceConfig(config)),
	} {
		client := pb.NewTestServiceClient(cc)
		t.Run(name+"/orca_per_rpc", func(t *testing.T) { play(t, func(ctx context.Context) { interop.DoORCAPerRPCTest(ctx, client) }) })
		t.Run(name+"/orca_oob", func(t *testing.T) { play(t, func(ctx context.Context) { interop.DoORCAOOBTest(ctx, client) }) })
	}
}

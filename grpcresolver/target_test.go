package grpcresolver

import (
	"errors"
	"log/slog"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/onehop-go/onehop"
	"github.com/onehop-go/onehop/consul"
	"github.com/onehop-go/onehop/policy"
	"github.com/onehop-go/onehop/resolver"
)

func agentHop(t *testing.T, agent consul.Agent, log *slog.Logger) *onehop.Client {
	t.Helper()
	hop, err := onehop.New(onehop.WithConsul(agent), onehop.WithResolver(resolver.Static{}), onehop.WithPolicies(policy.Static{}), onehop.WithLogger(log))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = hop.Close() })
	return hop
}

func TestTargetsNameTheClientsOwnAgent(t *testing.T) {
	t.Setenv("CONSUL_HTTP_ADDR", "")
	for _, c := range []struct {
		agent, target string
		ok            bool
	}{
		{"", "inventory", true},
		{"", "consul:///inventory", true},
		{"", "consul://127.0.0.1:8500/inventory", true},
		{"", "consul://127.0.0.1/inventory", true},
		{"http://agent:8500", "consul://agent/inventory", true},
		{"agent:8501", "consul://agent:8500/inventory", false},
		{"", "consul://other:8500/inventory", false},
	} {
		_, err := parse(agentHop(t, consul.Agent{Address: c.agent}, nil), c.target)
		if (err == nil) != c.ok {
			t.Errorf("agent %q, target %q: %v", c.agent, c.target, err)
		}
	}
}

func TestWrongTargetsAreErrors(t *testing.T) {
	hop := agentHop(t, consul.Agent{}, nil)
	creds := grpc.WithTransportCredentials(insecure.NewCredentials())
	for _, target := range []string{"", "inventory:443", "10.0.0.1", "consul://inventory", "consul:///a/b", "consul:///a?tags=b"} {
		if conn, err := NewClient(hop, target, creds); err == nil {
			_ = conn.Close()
			t.Errorf("NewClient takes %q", target)
		}
	}
	for name, opts := range map[string][]grpc.DialOption{
		"DialOptions": append([]grpc.DialOption{creds}, DialOptions(hop)...),
		"scheme only": {creds, grpc.WithResolvers(NewBuilder(hop))},
	} {
		conn, err := grpc.NewClient("consul:///inventory?unknown=1", opts...)
		if err != nil {
			t.Fatal(err)
		}
		_, err = pb.NewTestServiceClient(conn).EmptyCall(call(t, "wrong"), &pb.Empty{})
		if err == nil || !strings.Contains(err.Error(), `unknown parameter "unknown"`) {
			t.Errorf("%s: %v", name, err)
		}
		_ = conn.Close()
	}
}

// The scheme may be another library's: only Register takes it, for every grpc.NewClient of the process.
func TestRegister(t *testing.T) {
	if imported {
		t.Error("importing the package registers its scheme")
	}
	var l executions
	s := startServer(t, &l)
	hop, _ := hopTo(t, fast(), s.addr)
	Register(hop)
	conn, err := grpc.NewClient("consul:///inventory", grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // a test's
	if _, err := pb.NewTestServiceClient(conn).UnaryCall(call(t, "registered"), &pb.SimpleRequest{}); err != nil {
		t.Error(err)
	}
}

func TestNilClient(t *testing.T) {
	conn, err := NewClient(nil, "inventory", grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // a test
	_, err = pb.NewTestServiceClient(conn).EmptyCall(call(t, "nil"), &pb.Empty{})
	if onehop.ReasonOf(err) != onehop.ReasonInvalid || status.Code(err) != codes.Internal {
		t.Errorf("unary: %v", err)
	}
	_, err = pb.NewTestServiceClient(conn).FullDuplexCall(call(t, "nil"))
	if onehop.ReasonOf(err) != onehop.ReasonInvalid {
		t.Errorf("stream: %v", err)
	}
}

// Targets of mbobakov/grpc-consul-resolver are taken; what does nothing is warned of, once, and no token is printed.
func TestIgnoredParametersWarnOnce(t *testing.T) {
	var b strings.Builder
	hop := agentHop(t, consul.Agent{}, slog.New(slog.NewTextHandler(&b, nil)))
	l := newLink(hop)
	for range 3 {
		if found := l.upstream("consul:///inventory?wait=10s&limit=2&token=s3cret&tag=v2"); found.err != nil {
			t.Fatal(found.err)
		}
	}
	if n := strings.Count(b.String(), "no meaning here"); n != 3 || strings.Contains(b.String(), "s3cret") {
		t.Errorf("%d warnings: %s", n, b.String())
	}
}

func TestErrorIsStatusAndError(t *testing.T) {
	for reason, code := range reasonCodes {
		err := statusError(&onehop.Error{Reason: reason, Err: errors.New("why")})
		if status.Code(err) != code || onehop.ReasonOf(err) != reason {
			t.Errorf("%s: %v", reason, status.Code(err))
		}
	}
	err := statusError(&onehop.Error{Reason: onehop.ReasonExhausted, Err: status.Error(codes.DataLoss, "")})
	if status.Code(err) != codes.DataLoss {
		t.Errorf("the last attempt's code became %v", status.Code(err))
	}
}

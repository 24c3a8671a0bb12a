package grpcresolver

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	_ "google.golang.org/grpc/encoding/gzip" // for UseCompressor
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/onehop-go/onehop"
	"github.com/onehop-go/onehop/policy"
)

// interopServer behaves as grpc's interop test descriptions want.
type interopServer struct {
	pb.UnimplementedTestServiceServer
}

const (
	initialKey  = "x-grpc-test-echo-initial"
	trailingKey = "x-grpc-test-echo-trailing-bin"
)

func echoMetadata(ctx context.Context, header func(metadata.MD) error, trailer func(metadata.MD)) {
	md, _ := metadata.FromIncomingContext(ctx)
	if v := md.Get(initialKey); len(v) > 0 {
		_ = header(metadata.Pairs(initialKey, v[0]))
	}
	if v := md.Get(trailingKey); len(v) > 0 {
		trailer(metadata.Pairs(trailingKey, v[0]))
	}
}

func (interopServer) EmptyCall(context.Context, *pb.Empty) (*pb.Empty, error) {
	return &pb.Empty{}, nil
}

func (interopServer) UnaryCall(ctx context.Context, in *pb.SimpleRequest) (*pb.SimpleResponse, error) {
	echoMetadata(ctx, func(md metadata.MD) error { return grpc.SendHeader(ctx, md) }, func(md metadata.MD) { _ = grpc.SetTrailer(ctx, md) })
	if st := in.GetResponseStatus(); st.GetCode() != 0 {
		with, err := status.New(codes.Code(st.GetCode()), st.GetMessage()).WithDetails(durationpb.New(time.Second))
		if err != nil {
			return nil, err
		}
		return nil, with.Err()
	}
	md, _ := metadata.FromIncomingContext(ctx)
	return &pb.SimpleResponse{
		Payload: &pb.Payload{Body: make([]byte, in.GetResponseSize())}, Username: strings.Join(md.Get("authorization"), ","),
		Hostname: strings.Join(md.Get(":authority"), ","), OauthScope: strings.Join(md.Get("grpc-encoding"), ","),
	}, nil
}

func (interopServer) StreamingOutputCall(in *pb.StreamingOutputCallRequest, s grpc.ServerStreamingServer[pb.StreamingOutputCallResponse]) error {
	for _, p := range in.GetResponseParameters() {
		if err := s.Send(&pb.StreamingOutputCallResponse{Payload: &pb.Payload{Body: make([]byte, p.GetSize())}}); err != nil {
			return err
		}
	}
	return nil
}

func (interopServer) StreamingInputCall(s grpc.ClientStreamingServer[pb.StreamingInputCallRequest, pb.StreamingInputCallResponse]) error {
	return (&server{ledger: &executions{}}).StreamingInputCall(s)
}

func (interopServer) FullDuplexCall(s grpc.BidiStreamingServer[pb.StreamingOutputCallRequest, pb.StreamingOutputCallResponse]) error {
	echoMetadata(s.Context(), s.SendHeader, s.SetTrailer)
	for {
		in, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if st := in.GetResponseStatus(); st.GetCode() != 0 {
			return status.Error(codes.Code(st.GetCode()), st.GetMessage())
		}
		for _, p := range in.GetResponseParameters() {
			if d := p.GetIntervalUs(); d > 0 {
				select {
				case <-time.After(time.Duration(d) * time.Microsecond):
				case <-s.Context().Done():
					return s.Context().Err()
				}
			}
			if err := s.Send(&pb.StreamingOutputCallResponse{Payload: &pb.Payload{Body: make([]byte, p.GetSize())}}); err != nil {
				return err
			}
		}
	}
}

// said is a status as a caller sees it.
func said(err error) string {
	if errors.Is(err, io.EOF) {
		return "EOF"
	}
	s := status.Convert(err)
	return fmt.Sprintf("%v %q %d details", s.Code(), s.Message(), len(s.Details()))
}

// ask is a request for messages of these sizes, each after a pause.
func ask(pause time.Duration, sizes ...int32) *pb.StreamingOutputCallRequest {
	r := &pb.StreamingOutputCallRequest{}
	for _, s := range sizes {
		r.ResponseParameters = append(r.ResponseParameters, &pb.ResponseParameters{Size: s, IntervalUs: int32(pause.Microseconds())})
	}
	return r
}

type token string

func (t token) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": string(t)}, nil
}
func (token) RequireTransportSecurity() bool { return false }

type (
	scenario func(ctx context.Context, conn *grpc.ClientConn, c pb.TestServiceClient, say func(...any))
	dialFunc func(grpc.DialOption) (*grpc.ClientConn, error)
)

// scenarios are grpc's interop cases and the call options, each as a transcript of what a caller sees.
var scenarios = map[string]scenario{
	"empty_unary": func(ctx context.Context, _ *grpc.ClientConn, c pb.TestServiceClient, say func(...any)) {
		_, err := c.EmptyCall(ctx, &pb.Empty{})
		say(said(err))
	},
	"large_unary": func(ctx context.Context, _ *grpc.ClientConn, c pb.TestServiceClient, say func(...any)) {
		r, err := c.UnaryCall(ctx, &pb.SimpleRequest{ResponseSize: 314159, Payload: &pb.Payload{Body: make([]byte, 271828)}})
		say(len(r.GetPayload().GetBody()), r.GetHostname(), said(err))
	},
	"client_streaming": func(ctx context.Context, _ *grpc.ClientConn, c pb.TestServiceClient, say func(...any)) {
		s, err := c.StreamingInputCall(ctx)
		say(said(err))
		for _, n := range []int{27182, 8, 1828, 45904} {
			say(said(s.Send(&pb.StreamingInputCallRequest{Payload: &pb.Payload{Body: make([]byte, n)}})))
		}
		r, err := s.CloseAndRecv()
		say(r.GetAggregatedPayloadSize(), said(err))
	},
	"server_streaming": func(ctx context.Context, _ *grpc.ClientConn, c pb.TestServiceClient, say func(...any)) {
		s, err := c.StreamingOutputCall(ctx, ask(0, 31415, 9, 2653, 58979))
		say(said(err))
		for err == nil {
			var r *pb.StreamingOutputCallResponse
			r, err = s.Recv()
			say(len(r.GetPayload().GetBody()), said(err))
		}
	},
	"ping_pong": func(ctx context.Context, _ *grpc.ClientConn, c pb.TestServiceClient, say func(...any)) {
		s, err := c.FullDuplexCall(ctx)
		say(said(err))
		for _, n := range []int32{31415, 9, 2653, 58979} {
			say(said(s.Send(ask(0, n))))
			r, err := s.Recv()
			say(len(r.GetPayload().GetBody()), said(err))
		}
		say(said(s.CloseSend()))
		_, err = s.Recv()
		say(said(err))
	},
	"empty_stream": func(ctx context.Context, _ *grpc.ClientConn, c pb.TestServiceClient, say func(...any)) {
		s, err := c.FullDuplexCall(ctx)
		say(said(err), said(s.CloseSend()))
		_, err = s.Recv()
		say(said(err))
	},
	"timeout_on_sleeping_server": func(ctx context.Context, _ *grpc.ClientConn, c pb.TestServiceClient, say func(...any)) {
		ctx, cancel := context.WithTimeout(ctx, 30*time.Millisecond)
		defer cancel()
		s, err := c.FullDuplexCall(ctx)
		if err == nil {
			_ = s.Send(ask(time.Minute, 1))
			_, err = s.Recv()
		}
		say(status.Code(err))
	},
	"cancel_after_begin": func(ctx context.Context, _ *grpc.ClientConn, c pb.TestServiceClient, say func(...any)) {
		ctx, cancel := context.WithCancel(ctx)
		s, err := c.StreamingInputCall(ctx)
		say(said(err))
		cancel()
		err = s.RecvMsg(&pb.StreamingInputCallResponse{}) // without CloseSend the server has nothing to answer
		say(status.Code(err))
	},
	"cancel_after_first_response": func(ctx context.Context, _ *grpc.ClientConn, c pb.TestServiceClient, say func(...any)) {
		ctx, cancel := context.WithCancel(ctx)
		s, err := c.FullDuplexCall(ctx)
		say(said(err), said(s.Send(ask(0, 31415))))
		_, err = s.Recv()
		say(said(err))
		cancel()
		_, err = s.Recv()
		say(status.Code(err))
	},
	"custom_metadata": func(ctx context.Context, _ *grpc.ClientConn, c pb.TestServiceClient, say func(...any)) {
		ctx = metadata.AppendToOutgoingContext(ctx, initialKey, "i", trailingKey, "\x0a\x0b")
		var header, trailer metadata.MD
		var p peer.Peer
		_, err := c.UnaryCall(ctx, &pb.SimpleRequest{}, grpc.Header(&header), grpc.Trailer(&trailer), grpc.Peer(&p))
		say(header, trailer, p.Addr != nil, said(err))
		s, err := c.FullDuplexCall(ctx)
		say(said(err), said(s.CloseSend()))
		header, err = s.Header()
		say(header, said(err))
		_, err = s.Recv()
		say(said(err), s.Trailer())
		_, hasPeer := peer.FromContext(s.Context())
		say(hasPeer)
	},
	"status_code_and_message": func(ctx context.Context, _ *grpc.ClientConn, c pb.TestServiceClient, say func(...any)) {
		st := &pb.EchoStatus{Code: int32(codes.Unknown), Message: "test status message"}
		_, err := c.UnaryCall(ctx, &pb.SimpleRequest{ResponseStatus: st})
		say(said(err))
		s, err := c.FullDuplexCall(ctx)
		say(said(err), said(s.Send(&pb.StreamingOutputCallRequest{ResponseStatus: st})))
		_, err = s.Recv()
		say(said(err))
	},
	"special_status_message": func(ctx context.Context, _ *grpc.ClientConn, c pb.TestServiceClient, say func(...any)) {
		const message = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n"
		_, err := c.UnaryCall(ctx, &pb.SimpleRequest{ResponseStatus: &pb.EchoStatus{Code: 2, Message: message}})
		say(said(err))
	},
	"unimplemented_method": func(ctx context.Context, conn *grpc.ClientConn, _ pb.TestServiceClient, say func(...any)) {
		say(said(conn.Invoke(ctx, "/grpc.testing.TestService/UnimplementedCall", &pb.Empty{}, &pb.Empty{})))
	},
	"unimplemented_service": func(ctx context.Context, conn *grpc.ClientConn, _ pb.TestServiceClient, say func(...any)) {
		_, err := pb.NewUnimplementedServiceClient(conn).UnimplementedCall(ctx, &pb.Empty{})
		say(said(err))
	},
	"per RPC credentials, compressor, static method": func(ctx context.Context, _ *grpc.ClientConn, c pb.TestServiceClient, say func(...any)) {
		r, err := c.UnaryCall(ctx, &pb.SimpleRequest{}, grpc.PerRPCCredentials(token("me")), grpc.UseCompressor("gzip"), grpc.StaticMethod())
		say(r.GetUsername(), r.GetOauthScope(), said(err))
	},
	"sizes": func(ctx context.Context, _ *grpc.ClientConn, c pb.TestServiceClient, say func(...any)) {
		_, err := c.UnaryCall(ctx, &pb.SimpleRequest{ResponseSize: 1000}, grpc.MaxCallRecvMsgSize(10))
		say(said(err))
		_, err = c.UnaryCall(ctx, &pb.SimpleRequest{Payload: &pb.Payload{Body: make([]byte, 1000)}}, grpc.MaxCallSendMsgSize(10))
		say(said(err))
		s, err := c.FullDuplexCall(ctx, grpc.MaxCallSendMsgSize(10))
		say(said(err))
		say(said(s.Send(ask(0, 1, 2, 3, 4, 5, 6, 7, 8, 9))))
		_, err = s.Recv()
		say(said(err))
	},
	"no such compressor": func(ctx context.Context, _ *grpc.ClientConn, c pb.TestServiceClient, say func(...any)) {
		_, err := c.UnaryCall(ctx, &pb.SimpleRequest{}, grpc.UseCompressor("none such"))
		say(said(err))
		_, err = c.FullDuplexCall(ctx, grpc.UseCompressor("none such"))
		say(said(err))
	},
	"bad metadata": func(ctx context.Context, _ *grpc.ClientConn, c pb.TestServiceClient, say func(...any)) {
		_, err := c.UnaryCall(metadata.AppendToOutgoingContext(ctx, "bad", "\x00"), &pb.SimpleRequest{})
		say(said(err))
	},
	"not a message": func(ctx context.Context, conn *grpc.ClientConn, _ pb.TestServiceClient, say func(...any)) {
		say(status.Code(conn.Invoke(ctx, "/grpc.testing.TestService/UnaryCall", 42, &pb.SimpleResponse{})))
	},
	"OnFinish": func(ctx context.Context, _ *grpc.ClientConn, c pb.TestServiceClient, say func(...any)) {
		finish := grpc.OnFinish(func(err error) { say("finished", said(err)) })
		_, err := c.UnaryCall(ctx, &pb.SimpleRequest{}, finish)
		say(said(err))
		_, err = c.UnaryCall(ctx, &pb.SimpleRequest{ResponseStatus: &pb.EchoStatus{Code: 5}}, finish)
		say(said(err))
		s, err := c.FullDuplexCall(ctx, finish)
		say(said(err), said(s.CloseSend()))
		_, err = s.Recv()
		say(said(err))
	},
	"send after CloseSend": func(ctx context.Context, _ *grpc.ClientConn, c pb.TestServiceClient, say func(...any)) {
		s, err := c.FullDuplexCall(ctx)
		say(said(err), said(s.CloseSend()), said(s.CloseSend()))
		say(status.Code(s.Send(ask(0, 1))))
	},
	"closed ClientConn": func(ctx context.Context, conn *grpc.ClientConn, c pb.TestServiceClient, say func(...any)) {
		_ = conn.Close()
		_, err := c.UnaryCall(ctx, &pb.SimpleRequest{})
		say(said(err))
		_, err = c.FullDuplexCall(ctx)
		say(said(err))
	},
}

// repeatable scenarios show a stats handler of plain grpc-go the same events each time; in the others they depend on
// whether a send or the server's end is first.
var repeatable = map[string]bool{
	"empty_unary": true, "large_unary": true, "client_streaming": true, "server_streaming": true, "ping_pong": true,
	"custom_metadata": true, "status_code_and_message": true, "special_status_message": true, "no such compressor": true, "bad metadata": true,
}

// events are what a stats handler sees.
type events struct {
	mu   sync.Mutex
	list []string
}

func (e *events) TagRPC(ctx context.Context, i *stats.RPCTagInfo) context.Context {
	e.add("tag " + i.FullMethodName)
	return ctx
}
func (e *events) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
func (e *events) HandleConn(context.Context, stats.ConnStats)                       {}
func (e *events) HandleRPC(_ context.Context, s stats.RPCStats) {
	text := fmt.Sprintf("%T", s)
	if end, ok := s.(*stats.End); ok {
		text += " " + status.Code(end.Error).String()
	}
	if _, ok := s.(*stats.DelayedPickComplete); ok {
		return // of connecting, not of the call
	}
	e.add(text)
}

func (e *events) add(s string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.list = append(e.list, s)
}

// sorted is the list without the order in which grpc-go's goroutines happen to tell.
func (e *events) sorted() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	list := slices.Clone(e.list)
	slices.Sort(list)
	return strings.Join(list, "; ")
}

// What a caller and a stats handler see is what they see with plain grpc-go: by NewClient, by DialOptions, idempotent or
// not, and in the scheme-only mode.
func TestParityWithPlainGRPC(t *testing.T) {
	lis := startInterop(t)
	hop, _ := hopTo(t, fast(), lis)
	creds := grpc.WithTransportCredentials(insecure.NewCredentials())
	newClient := func(o grpc.DialOption) (*grpc.ClientConn, error) { return NewClient(hop, "inventory", creds, o) }
	ways := map[string]struct {
		conn dialFunc
		opts []onehop.CallOption
	}{
		"NewClient":             {newClient, nil},
		"NewClient, idempotent": {newClient, []onehop.CallOption{onehop.Idempotent()}},
		"DialOptions": {func(o grpc.DialOption) (*grpc.ClientConn, error) {
			return grpc.NewClient("consul:///inventory", append([]grpc.DialOption{creds, o}, DialOptions(hop)...)...)
		}, nil},
		"scheme only": {func(o grpc.DialOption) (*grpc.ClientConn, error) {
			return grpc.NewClient("consul:///inventory", creds, o, grpc.WithResolvers(NewBuilder(hop)))
		}, nil},
		"other scheme, as it is": {func(o grpc.DialOption) (*grpc.ClientConn, error) {
			opts := []grpc.DialOption{creds, o, grpc.WithAuthority("inventory")}
			return grpc.NewClient("passthrough:///"+lis, append(opts, DialOptions(hop)...)...)
		}, nil},
	}
	plain := func(o grpc.DialOption) (*grpc.ClientConn, error) {
		return grpc.NewClient("passthrough:///"+lis, creds, o, grpc.WithAuthority("inventory"))
	}
	for name, run := range scenarios {
		want, wantEvents := transcript(t, plain, nil, run)
		for way, c := range ways {
			t.Run(name+"/"+way, func(t *testing.T) {
				got, gotEvents := transcript(t, c.conn, c.opts, run)
				if got != want {
					t.Errorf("the caller sees\n%s\nwant\n%s", got, want)
				}
				if repeatable[name] && gotEvents != wantEvents {
					t.Errorf("a stats handler sees\n%s\nwant\n%s", gotEvents, wantEvents)
				}
			})
		}
	}
}

// transcript plays a scenario over a ClientConn of its own: what the caller said it saw, and what a stats handler did.
func transcript(t *testing.T, dial dialFunc, opts []onehop.CallOption, run scenario) (lines, seen string) {
	t.Helper()
	var e events
	conn, err := dial(grpc.WithStatsHandler(&e))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // some scenarios have closed it
	conn.Connect()
	reach(t, conn, connectivity.Ready)
	ctx, cancel := context.WithTimeout(onehop.With(t.Context(), opts...), 20*time.Second)
	defer cancel()
	var said events // an OnFinish may come from a goroutine of grpc-go's or ours, as soon as the stream is over
	run(ctx, conn, pb.NewTestServiceClient(conn), func(words ...any) { said.add(fmt.Sprintln(words...)) })
	if strings.Contains(said.sorted(), "finished") {
		return said.sorted(), e.sorted()
	}
	return strings.Join(said.list, ""), e.sorted()
}

func startInterop(t *testing.T, opts ...grpc.ServerOption) string {
	t.Helper()
	s := &server{t: t, opts: opts, impl: interopServer{}}
	s.start()
	t.Cleanup(s.kill)
	return s.addr
}

// certificate is a self-signed one for a name.
func certificate(t *testing.T, name string) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// TLS in both directions, under the service's name; a certificate for another name gets no request.
func TestTLSVerifiesTheService(t *testing.T) {
	mine, mineCA := certificate(t, "client")
	for name, ok := range map[string]bool{"inventory": true, "payments": false} {
		theirs, theirCA := certificate(t, name)
		addr := startInterop(t, grpc.Creds(credentials.NewTLS(&tls.Config{
			Certificates: []tls.Certificate{theirs}, ClientCAs: mineCA, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS12,
		})))
		p := policy.Default()
		p.Retry.MaxAttempts = 1
		hop, _ := hopTo(t, p, addr)
		conn, err := NewClient(hop, "inventory", grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{
			Certificates: []tls.Certificate{mine}, RootCAs: theirCA, MinVersion: tls.VersionTLS12,
		})))
		if err != nil {
			t.Fatal(err)
		}
		r, err := pb.NewTestServiceClient(conn).UnaryCall(call(t, "tls"), &pb.SimpleRequest{})
		if (err == nil) != ok || ok && r.GetHostname() != "inventory" {
			t.Errorf("certificate of %s: %v %v", name, r, err)
		}
		_ = conn.Close()
	}
}

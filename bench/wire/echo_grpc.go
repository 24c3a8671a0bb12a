package wire

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// echoMethod is the one unary method of the service, written by hand: its messages are well-known types.
const echoMethod = "/onehop.bench.Echo/Echo"

var echoService = grpc.ServiceDesc{
	ServiceName: "onehop.bench.Echo",
	HandlerType: (*any)(nil),
	Methods:     []grpc.MethodDesc{{MethodName: "Echo", Handler: handleEcho}},
}

func registerEcho(s *grpc.Server) { s.RegisterService(&echoService, struct{}{}) }

// handleEcho answers with the payload. The server has no interceptors, so that none is called.
func handleEcho(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) { //nolint:revive // grpc-go's signature
	if err := decode(new(wrapperspb.BytesValue)); err != nil {
		return nil, err
	}
	return wrapperspb.Bytes(payload), nil
}

// invokeEcho makes one call.
func invokeEcho(ctx context.Context, conn grpc.ClientConnInterface) error {
	return conn.Invoke(ctx, echoMethod, wrapperspb.Bytes(nil), new(wrapperspb.BytesValue))
}

package peers

import (
	"context"
	"errors"
	"strings"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/failsafe-go/failsafe-go/failsafegrpc"
	"github.com/failsafe-go/failsafe-go/timeout"
	kratosbreaker "github.com/go-kratos/kratos/v2/middleware/circuitbreaker"
	"github.com/go-kratos/kratos/v2/selector"
	"github.com/go-kratos/kratos/v2/selector/p2c"
	kratosgrpc "github.com/go-kratos/kratos/v2/transport/grpc"
	"github.com/zeromicro/go-zero/zrpc"
	"google.golang.org/grpc"
	pb "google.golang.org/grpc/interop/grpc_testing"
)

func closing(err error, closers ...func() error) error {
	for _, c := range closers {
		err = errors.Join(err, c())
	}
	return err
}

func (s *servers) failsafe() (Candidate, error) {
	conn, err := s.conn(roundRobinConfig, grpc.WithUnaryInterceptor(failsafegrpc.NewUnaryClientInterceptor(
		failsafegrpc.NewRetryPolicyBuilder[*pb.SimpleResponse]().WithMaxRetries(retries).Build(),
		circuitbreaker.NewWithDefaults[*pb.SimpleResponse](),
		timeout.New[*pb.SimpleResponse](callTimeout),
	)))
	if err != nil {
		return Candidate{}, err
	}
	return over(failsafe, conn), nil
}

func (s *servers) kratos() (Candidate, error) {
	selector.SetGlobalSelector(p2c.NewBuilder())
	conn, err := kratosgrpc.DialInsecure(context.Background(),
		kratosgrpc.WithEndpoint("discovery:///"+service), kratosgrpc.WithDiscovery(newCatalogue("grpc")),
		kratosgrpc.WithHealthCheck(false), kratosgrpc.WithPrintDiscoveryDebugLog(false),
		kratosgrpc.WithTimeout(callTimeout), kratosgrpc.WithMiddleware(kratosbreaker.Client()), kratosgrpc.WithOptions(s.dialer()),
	)
	if err != nil {
		return Candidate{}, err
	}
	return over(kratosGRPC, conn), nil
}

func (s *servers) goZero() (Candidate, error) {
	silenceGoZero()
	c, err := zrpc.NewClientWithTarget("direct:///"+strings.Join(instances, ","), zrpc.WithDialOption(s.dialer()), zrpc.WithTimeout(callTimeout))
	if err != nil {
		return Candidate{}, err
	}
	return over(goZeroGRPC, c.Conn()), nil
}

package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"syscall"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/onehop-go/onehop"
	"github.com/onehop-go/onehop/httpclient"
)

// client is what protoc-gen-connect-go would generate; connect.WithIdempotency is what it makes of the proto's
// `option idempotency_level = NO_SIDE_EFFECTS`.
type client struct {
	stocks *connect.Client[wrapperspb.StringValue, wrapperspb.StringValue]
	lists  *connect.Client[wrapperspb.StringValue, wrapperspb.StringValue]
}

// newClient is all that existing code needs: hop's *http.Client, the service's name as the host, and the interceptor.
func newClient(hop *onehop.Client, opts ...connect.ClientOption) *client {
	c := httpclient.New(hop, httpclient.WithTransport(overHTTP2()))
	opts = append(slices.Clip(opts), connect.WithInterceptors(idempotent{}), connect.WithIdempotency(connect.IdempotencyNoSideEffects))
	return &client{
		stocks: connect.NewClient[wrapperspb.StringValue, wrapperspb.StringValue](c, "http://"+service+stockProcedure, opts...),
		lists:  connect.NewClient[wrapperspb.StringValue, wrapperspb.StringValue](c, "http://"+service+listProcedure, opts...),
	}
}

// overHTTP2 speaks HTTP/2 also without TLS, where nothing negotiates it. With TLS net/http's default does.
func overHTTP2() *http.Transport {
	t := &http.Transport{Protocols: new(http.Protocols)}
	t.Protocols.SetHTTP2(true)
	t.Protocols.SetUnencryptedHTTP2(true)
	return t
}

// idempotent tells onehop what Connect knows of a procedure: Connect and gRPC calls are POSTs, which HTTP by itself does
// not allow to repeat. And it repeats what httpclient cannot: that hands over a response when its headers are there, but
// a unary call also needs the body.
type idempotent struct{}

func (idempotent) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, r connect.AnyRequest) (connect.AnyResponse, error) {
		response, err := next(known(ctx, r.Spec()), r)
		if broken(err) && r.Spec().IdempotencyLevel != connect.IdempotencyUnknown {
			response, err = next(known(ctx, r.Spec()), r)
		}
		return response, err
	}
}

// broken says that the connection broke under a response. With an error of onehop there was none, and it has tried enough.
func broken(err error) bool {
	return onehop.ReasonOf(err) == "" && (errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET))
}

func (idempotent) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return func(ctx context.Context, s connect.Spec) connect.StreamingClientConn {
		return next(known(ctx, s), s)
	}
}

func (idempotent) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return next
}

func known(ctx context.Context, s connect.Spec) context.Context {
	if s.IdempotencyLevel == connect.IdempotencyUnknown {
		return ctx
	}
	return onehop.With(ctx, onehop.Idempotent())
}

// answer is what a call gave.
type answer struct {
	values   []string
	server   string // from the trailer
	protocol string // that the server saw
}

// stock is a unary call.
func (c *client) stock(ctx context.Context, item string) (answer, error) {
	r, err := c.stocks.CallUnary(ctx, connect.NewRequest(wrapperspb.String(item)))
	if err != nil {
		return answer{}, err
	}
	return answer{[]string{r.Msg.GetValue()}, r.Trailer().Get(serverTrailer), r.Header().Get(protocolHeader)}, nil
}

// list is a server's stream. It is tried again like any call until its headers are there; one that breaks later gives
// what has come and an error, and going on from there is the caller's.
func (c *client) list(ctx context.Context, item string) (answer, error) {
	s, err := c.lists.CallServerStream(ctx, connect.NewRequest(wrapperspb.String(item)))
	if err != nil {
		return answer{}, err
	}
	var a answer
	for s.Receive() {
		a.values = append(a.values, s.Msg().GetValue())
	}
	a.server, a.protocol = s.ResponseTrailer().Get(serverTrailer), s.ResponseHeader().Get(protocolHeader)
	return a, errors.Join(s.Err(), s.Close())
}

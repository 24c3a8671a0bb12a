package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

const (
	service        = "inventory"
	stockProcedure = "/inventory.v1.Inventory/Stock"
	listProcedure  = "/inventory.v1.Inventory/List"

	protocolHeader = "Seen-Protocol"
	serverTrailer  = "Answered-By"
)

// serve serves on addr until ctx ends.
func serve(ctx context.Context, addr string) error {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{Handler: handler(addr), Protocols: protocols, ReadHeaderTimeout: 10 * time.Second}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = server.Close() })()
	return server.Serve(l)
}

// handler answers in Connect's, gRPC's and gRPC-Web's protocol. Any message will do for one: here those of protobuf itself.
func handler(name string) http.Handler {
	none := connect.WithIdempotency(connect.IdempotencyNoSideEffects)
	mux := http.NewServeMux()
	mux.Handle(stockProcedure, connect.NewUnaryHandler(stockProcedure,
		func(_ context.Context, r *connect.Request[wrapperspb.StringValue]) (*connect.Response[wrapperspb.StringValue], error) {
			response := connect.NewResponse(wrapperspb.String("7 of " + r.Msg.GetValue()))
			response.Trailer().Set(serverTrailer, name)
			return response, nil
		}, none))
	mux.Handle(listProcedure, connect.NewServerStreamHandler(listProcedure,
		func(_ context.Context, r *connect.Request[wrapperspb.StringValue], s *connect.ServerStream[wrapperspb.StringValue]) error {
			s.ResponseTrailer().Set(serverTrailer, name)
			for i := range 3 {
				if err := s.Send(wrapperspb.String(fmt.Sprintf("%s %d", r.Msg.GetValue(), i))); err != nil {
					return err
				}
			}
			return nil
		}, none))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(protocolHeader, r.Proto)
		mux.ServeHTTP(w, r)
	})
}

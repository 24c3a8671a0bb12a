package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// Both clients of the show make their calls by these two functions: all that differs is the *http.Client and the
// *grpc.ClientConn they are given.

// overHTTP calls a service by GET. url is asked anew for each call.
func overHTTP(c *http.Client, url func() string) call {
	return func(ctx context.Context) (string, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url(), nil)
		if err != nil {
			return "", err
		}
		resp, err := c.Do(req)
		if err != nil {
			return "", err
		}
		_, err = io.Copy(io.Discard, resp.Body)
		if err = errors.Join(err, resp.Body.Close()); err == nil && resp.StatusCode != http.StatusOK {
			err = errors.New(resp.Status)
		}
		return resp.Header.Get(instanceHeader), err
	}
}

// overGRPC calls a service by its one method.
func overGRPC(conn *grpc.ClientConn) call {
	return func(ctx context.Context) (string, error) {
		var trailer metadata.MD
		err := conn.Invoke(ctx, reserveMethod, wrapperspb.String("one"), new(wrapperspb.StringValue), grpc.Trailer(&trailer))
		return strings.Join(trailer.Get(instanceHeader), ""), err
	}
}

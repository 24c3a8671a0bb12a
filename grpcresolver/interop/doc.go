// Package interop shows that a ClientConn of grpcresolver is one of grpc-go's in every respect: grpc-go's own interop
// cases pass over it against grpc-go's own interop server, and stats handlers and otelgrpc see through it what they see
// through plain grpc-go. It is a module of its own for what only these tests need.
package interop

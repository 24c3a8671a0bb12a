// Package grpcresolver calls services through grpc-go.
//
// [NewClient], or grpc.NewClient with [DialOptions] appended last, gives a ClientConn whose calls go the way of onehop's
// HTTP calls: the same endpoints and their health, the same policy, budget and brake. Three parts make it up: a
// resolver for the scheme "consul" that hands on what the upstream knows, a balancer that picks among grpc-go's ready
// connections by the upstream's own judgement, and the innermost interceptors, which run the attempt loop.
// grpc-go's own retries and service config are off there: one retrier.
//
// [NewBuilder] and [Register] are for code that cannot be given dial options. There the balancer works the same, and the
// policy's retries become grpc-go's own service config; what that cannot express stands at NewBuilder.
//
// Importing this package registers no scheme: "consul" may be another library's.
package grpcresolver

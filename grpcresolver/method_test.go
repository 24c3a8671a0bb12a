package grpcresolver

import (
	"fmt"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/emptypb"
)

// linkService links a proto into the program: a service of that name in package onehop.test, with methods of each idempotency_level.
func linkService(name string) error {
	method := func(name string, level descriptorpb.MethodOptions_IdempotencyLevel, streams bool) *descriptorpb.MethodDescriptorProto {
		return &descriptorpb.MethodDescriptorProto{
			Name: new(name), InputType: new(".google.protobuf.Empty"), OutputType: new(".google.protobuf.Empty"),
			ServerStreaming: new(streams), Options: &descriptorpb.MethodOptions{IdempotencyLevel: level.Enum()},
		}
	}
	f, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: new("onehop/test/" + name + ".proto"), Package: new("onehop.test"), Syntax: new("proto3"),
		Dependency: []string{"google/protobuf/empty.proto"},
		Service: []*descriptorpb.ServiceDescriptorProto{{Name: new(name), Method: []*descriptorpb.MethodDescriptorProto{
			method("Get", descriptorpb.MethodOptions_NO_SIDE_EFFECTS, false),
			method("Put", descriptorpb.MethodOptions_IDEMPOTENT, false),
			method("Add", descriptorpb.MethodOptions_IDEMPOTENCY_UNKNOWN, false),
			method("List", descriptorpb.MethodOptions_NO_SIDE_EFFECTS, true),
		}}},
	}, protoregistry.GlobalFiles)
	if err != nil {
		return err
	}
	return protoregistry.GlobalFiles.RegisterFile(f)
}

var (
	linkShelf = sync.OnceValue(func() error { return linkService("Shelf") })
	linkLate  = sync.OnceValue(func() error { return linkService("Late") })
)

func TestMethodOfALinkedProto(t *testing.T) {
	if err := linkShelf(); err != nil {
		t.Fatal(err)
	}
	for full, want := range map[string]method{
		"/onehop.test.Shelf/Get":  {known: true, idempotent: true},
		"/onehop.test.Shelf/Put":  {known: true, idempotent: true},
		"/onehop.test.Shelf/Add":  {known: true},
		"/onehop.test.Shelf/List": {known: true, idempotent: true, streams: true},
		"/onehop.test.Shelf/None": {},
		"/onehop.test.None/Get":   {},
		"/onehop.test.Shelf":      {}, // a service
		"/a b/c":                  {},
		"":                        {},
	} {
		if got := methodOf(full); got != want {
			t.Errorf("%q: %+v, want %+v", full, got, want)
		}
	}
}

// The registry is asked once: what is linked after that changes nothing.
func TestMethodIsLookedUpOnce(t *testing.T) {
	const full = "/onehop.test.Late/Get"
	if got := methodOf(full); got.known {
		t.Fatal("it is known before it is linked")
	}
	if err := linkLate(); err != nil {
		t.Fatal(err)
	}
	if !lookUp(full).known {
		t.Fatal("it is not linked")
	}
	if got := methodOf(full); got.known {
		t.Error("it was looked up a second time")
	}
}

// What the proto says of a method decides whether it is repeated, in both modes.
func TestIdempotencyLevelIsObeyed(t *testing.T) {
	if err := linkShelf(); err != nil {
		t.Fatal(err)
	}
	for mode, dial := range modes {
		for name, executions := range map[string]int{"Get": 2, "Put": 2, "Add": 1} {
			t.Run(mode+"/"+name, func(t *testing.T) {
				var l ledgerOfMethods
				s := startServer(t, nil, grpc.UnknownServiceHandler(l.serve))
				hop, _ := hopTo(t, fast(), s.addr)
				conn, _ := dial(t, hop)
				full := "/onehop.test.Shelf/" + name
				err := conn.Invoke(call(t, name), full, &emptypb.Empty{}, &emptypb.Empty{})
				if n := l.of(full); n != executions || (err == nil) != (executions == 2) || err != nil && status.Code(err) != codes.Unavailable {
					t.Errorf("executed %d times, want %d: %v", n, executions, err)
				}
			})
		}
	}
}

// ledgerOfMethods serves any method, badly the first time.
type ledgerOfMethods struct{ executions }

func (l *ledgerOfMethods) serve(_ any, s grpc.ServerStream) error {
	full, ok := grpc.MethodFromServerStream(s)
	if !ok {
		return status.Error(codes.Internal, "a stream without a method")
	}
	if err := s.RecvMsg(&emptypb.Empty{}); err != nil {
		return fmt.Errorf("receive: %w", err)
	}
	if l.add(full) == 1 {
		return status.Error(codes.Unavailable, "not now")
	}
	return s.SendMsg(&emptypb.Empty{})
}

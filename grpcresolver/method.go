package grpcresolver

import (
	"maps"
	"strings"
	"sync"
	"sync/atomic"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
)

// method is what the linked protos say of a method. The zero value: nothing.
type method struct {
	known      bool
	streams    bool // of either side
	idempotent bool // idempotency_level NO_SIDE_EFFECTS or IDEMPOTENT
}

// methods remembers what was found, by full name "/pkg.Service/Method". Bounded: a proxy may call any name.
var methods struct {
	mu    sync.Mutex
	found atomic.Pointer[map[string]method]
}

const mostMethods = 4096

// methodOf looks a method up, once.
func methodOf(full string) method {
	if known := methods.found.Load(); known != nil {
		if m, ok := (*known)[full]; ok {
			return m
		}
	}
	m := lookUp(full)
	methods.mu.Lock()
	defer methods.mu.Unlock()
	next := map[string]method{}
	if known := methods.found.Load(); known != nil {
		if len(*known) >= mostMethods {
			return m
		}
		next = maps.Clone(*known)
	}
	next[full] = m
	methods.found.Store(&next)
	return m
}

func lookUp(full string) method {
	name := protoreflect.FullName(strings.ReplaceAll(strings.TrimPrefix(full, "/"), "/", "."))
	if !name.IsValid() {
		return method{}
	}
	d, err := protoregistry.GlobalFiles.FindDescriptorByName(name)
	if err != nil {
		return method{}
	}
	md, ok := d.(protoreflect.MethodDescriptor)
	if !ok {
		return method{}
	}
	return describe(md)
}

func describe(md protoreflect.MethodDescriptor) method {
	m := method{known: true, streams: md.IsStreamingClient() || md.IsStreamingServer()}
	if o, ok := md.Options().(*descriptorpb.MethodOptions); ok {
		m.idempotent = o.GetIdempotencyLevel() != descriptorpb.MethodOptions_IDEMPOTENCY_UNKNOWN
	}
	return m
}

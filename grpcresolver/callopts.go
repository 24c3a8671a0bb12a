package grpcresolver

import (
	"reflect"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/protobuf/proto"
)

// split takes OnFinish out of opts: grpc-go would call it at the end of each attempt, and it is of the call.
func split(opts []grpc.CallOption) (rest []grpc.CallOption, finish []func(error)) {
	for i, o := range opts {
		f, ok := o.(grpc.OnFinishCallOption)
		switch {
		case ok && finish == nil:
			rest = append(make([]grpc.CallOption, 0, len(opts)), opts[:i]...)
			finish = append(finish, f.OnFinish)
		case ok:
			finish = append(finish, f.OnFinish)
		case finish != nil:
			rest = append(rest, o)
		}
	}
	if finish == nil {
		return opts, nil
	}
	return rest, finish
}

// clearResults empties what call options were filled with.
func clearResults(opts []grpc.CallOption) {
	for _, o := range opts {
		switch o := o.(type) {
		case grpc.HeaderCallOption:
			*o.HeaderAddr = nil
		case grpc.TrailerCallOption:
			*o.TrailerAddr = nil
		case grpc.PeerCallOption:
			*o.PeerAddr = peer.Peer{}
		}
	}
}

// private is what an attempt in a race has for itself, until it has won.
type private struct {
	reply any
	opts  []grpc.CallOption
	given []func() // copy the results to where the caller wants them
}

func newPrivate(reply any, opts []grpc.CallOption) *private {
	p := &private{reply: fresh(reply), opts: make([]grpc.CallOption, len(opts))}
	for i, o := range opts {
		p.opts[i] = p.own(o)
	}
	return p
}

func (p *private) own(o grpc.CallOption) grpc.CallOption {
	switch o := o.(type) {
	case grpc.HeaderCallOption:
		md := new(metadata.MD)
		p.given = append(p.given, func() { *o.HeaderAddr = *md })
		return grpc.Header(md)
	case grpc.TrailerCallOption:
		md := new(metadata.MD)
		p.given = append(p.given, func() { *o.TrailerAddr = *md })
		return grpc.Trailer(md)
	case grpc.PeerCallOption:
		pr := new(peer.Peer)
		p.given = append(p.given, func() { *o.PeerAddr = *pr })
		return grpc.Peer(pr)
	}
	return o
}

// fresh is an empty message like reply, which is separable.
func fresh(reply any) any {
	if m, ok := reply.(proto.Message); ok {
		return m.ProtoReflect().New().Interface()
	}
	return reflect.New(reflect.TypeOf(reply).Elem()).Interface()
}

// deliver gives the caller what the winner got.
func (p *private) deliver(reply any) {
	for _, give := range p.given {
		give()
	}
	if m, ok := reply.(proto.Message); ok {
		won, _ := p.reply.(proto.Message)
		proto.Reset(m)
		proto.Merge(m, won)
		return
	}
	reflect.ValueOf(reply).Elem().Set(reflect.ValueOf(p.reply).Elem())
}

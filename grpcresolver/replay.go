package grpcresolver

import "google.golang.org/protobuf/proto"

// replayLimit is what is remembered of a stream for another attempt: grpc-go's own default.
const replayLimit = 256 << 10

// replay is what a caller sent before the stream was committed. The zero value remembers.
type replay struct {
	lost     bool // more was sent than is kept
	closed   bool // CloseSend
	messages []any
	size     int
}

// add remembers a message, by reference: grpc-go forbids to change one after SendMsg. One whose size cannot be told, or
// which is too much, makes the attempt under way the last.
func (r *replay) add(m any) {
	p, ok := m.(proto.Message)
	if r.lost || !ok {
		r.forget()
		return
	}
	r.size += proto.Size(p)
	if r.size > replayLimit {
		r.forget()
		return
	}
	r.messages = append(r.messages, m)
}

// forget gives up on another attempt.
func (r *replay) forget() { r.lost, r.messages = true, nil }

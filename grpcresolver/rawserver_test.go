package grpcresolver

import (
	"bytes"
	"io"
	"net"
	"sync"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// rawServer speaks HTTP/2 frame by frame, to do what no gRPC server would.
type rawServer struct {
	net.Listener
	t      *testing.T
	stream func(c *rawConn, id uint32) // once for each request's headers

	mu      sync.Mutex
	streams int
	conns   map[net.Conn]bool
}

type rawConn struct {
	*http2.Framer
	conn net.Conn
	n    int // of the streams on this connection
}

func startRaw(t *testing.T, stream func(*rawConn, uint32)) *rawServer {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &rawServer{Listener: lis, t: t, stream: stream, conns: map[net.Conn]bool{}}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := lis.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns[conn] = true
			s.mu.Unlock()
			wg.Go(func() { s.serve(conn) })
		}
	})
	t.Cleanup(func() {
		_ = lis.Close()
		s.mu.Lock()
		for c := range s.conns {
			_ = c.Close()
		}
		s.mu.Unlock()
		wg.Wait()
	})
	return s
}

func (s *rawServer) addr() string { return s.Addr().String() }

// seen is how many requests reached the wire.
func (s *rawServer) seen() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.streams
}

func (s *rawServer) serve(conn net.Conn) {
	defer conn.Close() //nolint:errcheck // a test's server
	if _, err := io.CopyN(io.Discard, conn, int64(len(http2.ClientPreface))); err != nil {
		return
	}
	c := &rawConn{Framer: http2.NewFramer(conn, conn), conn: conn}
	_ = c.WriteSettings()
	for {
		f, err := c.ReadFrame()
		if err != nil {
			return
		}
		switch f := f.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				_ = c.WriteSettingsAck()
			}
		case *http2.PingFrame:
			if !f.IsAck() {
				_ = c.WritePing(true, f.Data)
			}
		case *http2.HeadersFrame:
			s.mu.Lock()
			s.streams++
			s.mu.Unlock()
			c.n++
			s.stream(c, f.StreamID)
		}
	}
}

// whole reads on until a request is complete.
func (c *rawConn) whole(id uint32) {
	for {
		f, err := c.ReadFrame()
		if err != nil {
			return
		}
		if d, ok := f.(*http2.DataFrame); ok && d.StreamID == id && d.StreamEnded() {
			return
		}
	}
}

// answer sends a header block of name and value pairs.
func (c *rawConn) answer(id uint32, end bool, pairs ...string) {
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	for i := 0; i+1 < len(pairs); i += 2 {
		_ = e.WriteField(hpack.HeaderField{Name: pairs[i], Value: pairs[i+1]})
	}
	_ = c.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: b.Bytes(), EndHeaders: true, EndStream: end})
}

// ok is a good answer with an empty message.
func (c *rawConn) ok(id uint32) {
	c.answer(id, false, ":status", "200", "content-type", "application/grpc")
	_ = c.WriteData(id, false, make([]byte, 5))
	c.answer(id, true, "grpc-status", "0")
}

package faults

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// meddler stands between a client and a gRPC server and passes their frames on, but for the streams that it takes: the
// server never hears of these.
type meddler struct {
	*raw
	taken atomic.Int64
}

// meddling is one connection through it. It counts the connection's streams.
type meddling struct {
	n      int
	mu     sync.Mutex // of what is written to the client
	client net.Conn
	framer *http2.Framer
}

// newMeddler passes on to a server. take is asked at the head of each stream, in order, and says whether to take it.
func newMeddler(t *testing.T, server string, take func(m *meddling, id uint32) bool) *meddler {
	t.Helper()
	m := &meddler{}
	m.raw = newRaw(t, func(client net.Conn) {
		upstream, err := net.Dial("tcp", server)
		if err != nil {
			if t.Context().Err() == nil {
				t.Errorf("the meddler has no server: %v", err)
			}
			return
		}
		c := &meddling{client: client, framer: http2.NewFramer(client, nil)}
		var wg sync.WaitGroup
		wg.Go(func() {
			c.answers(upstream)
			_ = client.Close()
		})
		c.requests(upstream, func(id uint32) bool {
			c.n++
			took := take(c, id)
			if took {
				m.taken.Add(1)
			}
			return took
		})
		_ = upstream.Close()
		wg.Wait()
	})
	return m
}

// goAway says that no stream after last was processed.
func (m *meddling) goAway(last uint32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	_ = m.framer.WriteGoAway(last, http2.ErrCodeNo, nil)
}

func (m *meddling) refuse(id uint32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	_ = m.framer.WriteRSTStream(id, http2.ErrCodeRefusedStream)
}

// answers passes on what comes from the server.
func (m *meddling) answers(server net.Conn) {
	for {
		f, err := readWire(server)
		if err != nil {
			return
		}
		m.mu.Lock()
		_, err = m.client.Write(f)
		m.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// requests passes on what comes from the client. Headers are encoded anew: their compression remembers those before.
func (m *meddling) requests(server net.Conn, take func(id uint32) bool) {
	if _, err := io.CopyN(server, m.client, int64(len(http2.ClientPreface))); err != nil {
		return
	}
	var block bytes.Buffer
	decoder, encoder := hpack.NewDecoder(4096, nil), hpack.NewEncoder(&block)
	to, taken := http2.NewFramer(server, nil), map[uint32]bool{}
	for {
		f, err := readWire(m.client)
		if err != nil {
			return
		}
		id := f.stream()
		if f.kind() != http2.FrameHeaders {
			if taken[id] {
				m.giveBack(f)
			} else if _, err := server.Write(f); err != nil {
				return
			}
			continue
		}
		fields, err := decoder.DecodeFull(f[9:]) // grpc-go pads none, and a test's fit into one frame
		if err != nil {
			return
		}
		if taken[id] = take(id); taken[id] {
			continue
		}
		block.Reset()
		for _, field := range fields {
			_ = encoder.WriteField(field)
		}
		err = to.WriteHeaders(http2.HeadersFrameParam{
			StreamID: id, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: f[4]&byte(http2.FlagHeadersEndStream) != 0,
		})
		if err != nil {
			return
		}
	}
}

// giveBack returns the room in the connection's window that a taken stream's data used.
func (m *meddling) giveBack(f rawFrame) {
	if f.kind() != http2.FrameData || len(f) == 9 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	_ = m.framer.WriteWindowUpdate(0, uint32(len(f)-9))
}

// rawFrame is a frame as it is on the wire: nine bytes of head, and the payload.
type rawFrame []byte

func (f rawFrame) kind() http2.FrameType { return http2.FrameType(f[3]) }
func (f rawFrame) stream() uint32        { return binary.BigEndian.Uint32(f[5:]) & (1<<31 - 1) }

func readWire(r io.Reader) (rawFrame, error) {
	head := make([]byte, 9)
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, err
	}
	f := make(rawFrame, 9+(int(head[0])<<16|int(head[1])<<8|int(head[2])))
	copy(f, head)
	_, err := io.ReadFull(r, f[9:])
	return f, err
}
